"""Disks as a guest sees them: read from raw and qcow2 files, and written as such.

The plain way, for machines without qemu-img: no other format, one pass, nothing kept in memory but
a cluster and two tables. The layout of qcow2 is in QEMU's docs/interop/qcow2.rst.
"""

import errno
import os
from abc import ABC, abstractmethod
from typing import BinaryIO

PIECE = 64 << 10
"""Bytes that are looked at together: a cluster, a hole's grain."""


class DiskReader(ABC):
    """A disk being read, by one thread at a time."""

    size: int
    """Bytes that a guest sees."""

    @abstractmethod
    def read(self, offset: int, length: int) -> bytes | None:
        """`length` bytes at `offset`, no further than the disk's end; None if they are all zeros
        and nothing is stored for them.

        Raises:
            ConversionFailed: the file is damaged.
        """

    @abstractmethod
    def next_data(self, offset: int) -> int:
        """Where, from `offset` on, the next bytes are that may be something else than zeros; the
        disk's size if there are none. Raises as `read`.
        """


class DiskWriter(ABC):
    """A disk being written, from its beginning to its end, by one thread at a time."""

    @abstractmethod
    def write(self, offset: int, data: bytes) -> None:
        """Keep PIECE bytes (fewer at the end) at a multiple of PIECE; what is left out is zeros."""

    @abstractmethod
    def finish(self) -> None:
        """Write what goes last."""


class RawReader(DiskReader):
    """A file as it is."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, 2)

    def read(self, offset: int, length: int) -> bytes | None:
        self._file.seek(offset)
        data = self._file.read(min(length, self.size - offset))
        return data if any_set(data) else None

    def next_data(self, offset: int) -> int:
        try:
            return os.lseek(self._file.fileno(), offset, os.SEEK_DATA)
        except OSError as fault:
            if fault.errno == errno.ENXIO:
                return self.size
            return offset  # a file system that knows no holes


class RawWriter(DiskWriter):
    """A file with holes."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        file.truncate(size)

    def write(self, offset: int, data: bytes) -> None:
        self._file.seek(offset)
        self._file.write(data)

    def finish(self) -> None:
        self._file.flush()


def any_set(data: bytes) -> bool:
    """Whether there is anything but zeros; at most PIECE bytes."""
    return not _ZEROS.startswith(data)


_ZEROS = bytes(PIECE)
