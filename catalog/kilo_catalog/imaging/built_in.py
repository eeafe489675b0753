"""The converter that needs no tool: raw and qcow2, in our own code."""

import errno
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from kilo_catalog.errors import ConversionFailed, ScratchFull
from kilo_catalog.imaging.conversion import Conversion, Converter
from kilo_catalog.imaging.disks import PIECE, DiskReader, DiskWriter, RawReader, RawWriter
from kilo_catalog.imaging.qcow2_reader import Qcow2Reader
from kilo_catalog.imaging.qcow2_writer import Qcow2Writer
from kilo_common.clock import Clock

_KNOWN = frozenset({"raw", "gpt", "qcow2"})
_AT_A_TIME = 256
"""Pieces between two words of progress: 16 MiB."""
_DIFFERENT = -1
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
T = TypeVar("T")


@dataclass(frozen=True)
class BuiltIn(Converter):
    """Converts in the executor's threads."""

    executor: Executor
    clock: Clock
    time_limit: float
    """Seconds."""

    def can(self, source_format: str, target_format: str) -> bool:
        return source_format in _KNOWN and target_format in _KNOWN

    def convert(self, work: Conversion) -> Generator[float, None, None]:
        with work.source.open("rb") as source, work.target.open("xb") as target:
            reader = self._do(partial(_reader, source, work.source_format))
            writer = self._do(partial(_writer, target, work, reader.size))
            for offset in self._walk(partial(_copy, reader, writer), reader.size):
                yield min(1.0, offset / reader.size)
            self._do(writer.finish)
        yield 1.0

    def compare(
        self, one: Path, its_format: str, other: Path, other_format: str
    ) -> Generator[bool, None, None]:
        with one.open("rb") as file, other.open("rb") as second_file:
            first = self._do(partial(_reader, file, its_format))
            second = self._do(partial(_reader, second_file, other_format))
            size = max(first.size, second.size)
            same = True
            for offset in self._walk(partial(_compare, first, second), size):
                same = offset != _DIFFERENT
                yield same
            if size == 0:
                yield True

    def _walk(self, work: Callable[[int], int], size: int) -> Iterator[int]:
        """Call `work` with an offset and get the next from it, until that is the end or it says
        that they are different."""
        deadline = self.clock.monotonic() + self.time_limit
        offset = 0
        while 0 <= offset < size:
            if self.clock.monotonic() > deadline:
                raise ConversionFailed(
                    f"The conversion took longer than the {self.time_limit:g} seconds it may "
                    "(catalog.imports.conversion.time_limit)"
                )
            offset = self._do(partial(work, offset))
            yield offset

    def _do(self, work: Callable[[], T]) -> T:
        try:
            return self.executor.submit(work).result()
        except OSError as fault:
            if fault.errno in _FULL:
                raise ScratchFull(
                    f"There is no room for the converted image: {fault.strerror}"
                ) from fault
            raise ConversionFailed(f"The image cannot be read: {fault.strerror}") from fault


def _reader(file: BinaryIO, name: str) -> DiskReader:
    return Qcow2Reader(file) if name == "qcow2" else RawReader(file)


def _writer(file: BinaryIO, work: Conversion, size: int) -> DiskWriter:
    if work.target_format == "qcow2":
        return Qcow2Writer(file, size, compress=work.compress)
    return RawWriter(file, size)


def _copy(reader: DiskReader, writer: DiskWriter, offset: int) -> int:
    for _ in range(_AT_A_TIME):
        if offset >= reader.size:
            break
        data = reader.read(offset, PIECE)
        if data is None:
            offset = _skip(reader, offset + PIECE)
        else:
            writer.write(offset, data)
            offset += PIECE
    return offset


def _compare(first: DiskReader, second: DiskReader, offset: int) -> int:
    for _ in range(_AT_A_TIME):
        one, two = (_at(each, offset) for each in (first, second))
        if (one or two) and (one or b"").ljust(PIECE, b"\0") != (two or b"").ljust(PIECE, b"\0"):
            return _DIFFERENT
        offset += PIECE
        if one is None and two is None:
            left = [each for each in (first, second) if each.size > offset]
            offset = min((_skip(each, offset) for each in left), default=offset)
    return offset


def _skip(reader: DiskReader, offset: int) -> int:
    """The piece, at `offset` or after it, in which there may be data; the end if there is none."""
    if offset >= reader.size:
        return offset
    ahead = reader.next_data(offset)
    return ahead if ahead >= reader.size else ahead // PIECE * PIECE


def _at(reader: DiskReader, offset: int) -> bytes | None:
    return reader.read(offset, PIECE) if offset < reader.size else None
