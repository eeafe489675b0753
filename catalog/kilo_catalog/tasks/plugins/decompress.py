"""Unpacks data that came compressed: gzip, bzip2, xz, zstd."""

from collections.abc import Iterator
from contextlib import closing
from typing import BinaryIO

from kilo_catalog.config import CatalogSettings
from kilo_catalog.domain.signed import SIGNATURE_PROPERTIES
from kilo_catalog.errors import CompressionRefused
from kilo_catalog.imaging.disks import PIECE, any_set
from kilo_catalog.imaging.packed import UNPACKERS, unpack
from kilo_catalog.stores.base import BlobReader
from kilo_catalog.tasks.plugins.base import ImportPlugin, PluginTools, Workbench

_BLOCK = 1 << 18
"""Compressed bytes that are read at a time."""
_PIECES = 128
"""Pieces that are unpacked between two looks whether that is still wanted: 8 MiB."""
_RATIO_FROM = 1 << 30


class Decompress(ImportPlugin):
    """Puts what is inside in the place of the compressed file.

    Data of the container format `compressed` becomes `bare`; bare data that is compressed is taken
    for what is inside. That must be of the disk format that was declared.
    """

    name = "decompress"

    def __init__(self, settings: CatalogSettings, tools: PluginTools) -> None:
        self._settings = settings.imports.decompression
        self._executor = tools.executor

    def wanted(self, bench: Workbench) -> bool:
        outside = bench.image.container_format in ("compressed", "bare")
        return outside and _compression(bench) in UNPACKERS

    def run(self, bench: Workbench) -> None:
        packed = bench.facts.size
        grown = max(_RATIO_FROM, packed * self._settings.most_ratio)
        target = bench.scratch() / "unpacked"
        with closing(bench.reader()) as reader, target.open("xb") as file:
            work = _Unpacking(
                _compression(bench), reader, file, min(grown, self._settings.most_bytes)
            )
            while self._executor.submit(work.go_on).result():
                bench.progress(work.read / max(packed, 1))
                bench.check()
        bench.replace(target, container_format="bare")
        bench.drop_properties(SIGNATURE_PROPERTIES)


class _Unpacking:
    """Unpacks from a reader to a file, whose zeros become holes."""

    def __init__(self, compression: str, reader: BlobReader, file: BinaryIO, limit: int) -> None:
        self.read = 0
        """Compressed bytes so far."""
        self._size = 0
        self._reader = reader
        self._file = file
        self._limit = limit
        self._pieces = unpack(compression, self._blocks(), PIECE)

    def go_on(self) -> bool:
        """Unpack some more; False at the end.

        Raises:
            CompressionRefused: it is damaged, or becomes too large.
            StoreUnavailable: it cannot be read.
        """
        for _ in range(_PIECES):
            piece = next(self._pieces, b"")
            if not piece:
                self._file.truncate(self._size)
                return False
            if self._size + len(piece) > self._limit:
                raise CompressionRefused(
                    f"The data unpacks to more than {self._limit} bytes "
                    "(catalog.imports.decompression)",
                    limit=self._limit,
                )
            if any_set(piece):
                self._file.seek(self._size)
                self._file.write(piece)
            self._size += len(piece)
        return True

    def _blocks(self) -> Iterator[bytes]:
        while block := self._reader.read(_BLOCK):
            self.read += len(block)
            yield block


def _compression(bench: Workbench) -> str:
    findings = bench.facts.findings
    return findings.format if findings is not None else ""
