"""Reads the disk in a qcow2 file: plain, zero and compressed clusters, and subclusters.

The file is anybody's: every offset is checked against its end, and no table is larger than the
header's inspection has allowed (`qcow2.py`).
"""

import struct
import zlib
from typing import BinaryIO

from kilo_catalog.errors import ConversionFailed
from kilo_catalog.imaging.disks import DiskReader
from kilo_catalog.imaging.inspector import Inspector
from kilo_catalog.imaging.packed import zstd
from kilo_catalog.imaging.scan import HEAD

_OFFSET = 0x00FF_FFFF_FFFF_FE00
_COMPRESSED = 1 << 62
_ZERO = 1
_EXTENDED_L2 = 1 << 4
_SUBCLUSTERS = 32
_SECTOR = 512


class Qcow2Reader(DiskReader):
    """A qcow2 file."""

    def __init__(self, file: BinaryIO) -> None:
        """
        Raises:
            FormatRefused: it is not qcow2, or depends on other files.
            ConversionFailed: it is encrypted, or its first table is not there.
        """
        head = file.read(HEAD)
        inspector = Inspector("qcow2", "bare")
        inspector.feed(head)
        facts = inspector.finish().facts
        if "encrypted" in facts:
            raise ConversionFailed("The image is encrypted; it can be converted with its key only")
        self._file = file
        self._end = file.seek(0, 2)
        bits, size, entries, table = struct.unpack_from(">IQ4xIQ", head, 20)
        self.size = int(size)
        self._cluster = 1 << bits
        version = head[7]
        features = struct.unpack_from(">Q", head, 72)[0] if version == 3 else 0
        self._extended = bool(features & _EXTENDED_L2)
        self._entry = 16 if self._extended else 8
        self._zstd = facts.get("compression_type") == "zstd"
        self._l1 = self._read_at(table, entries * 8)
        self._per_table = self._cluster // self._entry
        self._table_at = 0
        self._table = b""
        self._unpacked_at = 0
        self._unpacked = b""

    def read(self, offset: int, length: int) -> bytes | None:
        length = min(length, self.size - offset)
        pieces: list[bytes | None] = []
        lengths: list[int] = []
        step = self._cluster // _SUBCLUSTERS if self._extended else self._cluster
        while length > 0:
            count = min(length, step - offset % step)
            pieces.append(self._piece(offset, count))
            lengths.append(count)
            offset, length = offset + count, length - count
        if all(each is None for each in pieces):
            return None
        return b"".join(
            bytes(count) if each is None else each
            for each, count in zip(pieces, lengths, strict=True)
        )

    def next_data(self, offset: int) -> int:
        span = self._per_table * self._cluster
        table = offset // span
        while table * 8 < len(self._l1) and not any(self._l1[table * 8 : table * 8 + 8]):
            table += 1
            offset = table * span
        return min(offset, self.size)

    def _piece(self, offset: int, count: int) -> bytes | None:
        """Bytes of one cluster, of one subcluster where there are such."""
        number, inside = divmod(offset, self._cluster)
        table, index = divmod(number, self._per_table)
        entry, bitmap = self._look_up(table, index)
        if entry & _COMPRESSED:
            return self._unpack(entry)[inside : inside + count]
        place = entry & _OFFSET
        if self._extended:
            part = inside // (self._cluster // _SUBCLUSTERS)
            if bitmap >> (_SUBCLUSTERS + part) & 1 or not bitmap >> part & 1:
                return None
        elif entry & _ZERO or not place:
            return None
        return self._read_at(place + inside, count, short=True)

    def _look_up(self, table: int, index: int) -> tuple[int, int]:
        (place,) = struct.unpack_from(">Q", self._l1, table * 8)
        place &= _OFFSET
        if not place:
            return 0, 0
        if place != self._table_at:
            self._table = self._read_at(place, self._cluster)
            self._table_at = place
        if self._extended:
            entry, bitmap = struct.unpack_from(">QQ", self._table, index * 16)
            return entry, bitmap
        (entry,) = struct.unpack_from(">Q", self._table, index * 8)
        return entry, 0

    def _unpack(self, entry: int) -> bytes:
        if entry == self._unpacked_at:
            return self._unpacked
        bits = 62 - (self._cluster.bit_length() - 1 - 8)
        place = entry & ((1 << bits) - 1)
        sectors = (entry & (_COMPRESSED - 1)) >> bits
        data = self._read_at(place, (sectors + 1) * _SECTOR - place % _SECTOR, short=True)
        try:
            if self._zstd:
                whole = zstd.ZstdDecompressor().decompress(data, self._cluster)
            else:
                whole = zlib.decompressobj(-15).decompress(data, self._cluster)
        except (zlib.error, zstd.ZstdError, EOFError) as fault:
            raise ConversionFailed(f"The compressed cluster at byte {place} is damaged") from fault
        if len(whole) != self._cluster:
            raise ConversionFailed(f"The compressed cluster at byte {place} is damaged")
        self._unpacked_at, self._unpacked = entry, whole
        return whole

    def _read_at(self, place: int, count: int, *, short: bool = False) -> bytes:
        """Bytes of the file; `short` if the file may end within them: then zeros follow."""
        if place + (1 if short else count) > self._end:
            raise ConversionFailed(
                f"The image refers to byte {place + count}, but ends at byte {self._end}"
            )
        self._file.seek(place)
        return self._file.read(count).ljust(count, b"\0")
