"""One file of this machine, lent to stores that can adopt it without copying."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, ClassVar

from kilo_catalog.stores.base import (
    BlobNotFound,
    BlobReader,
    BlobStore,
    BlobWriter,
    Capability,
    StoreReadOnly,
    StoreUnavailable,
    StoreUsage,
    Unfinished,
)
from kilo_catalog.stores.settings import StoreSettings


class LentFile(BlobStore):
    """A store with one blob, under the name KEY. Who lends it never writes it again."""

    KEY: ClassVar[str] = "file"
    driver = "lent"
    capabilities = frozenset({Capability.LOCAL_FILES})

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def from_settings(cls, settings: StoreSettings) -> "LentFile":
        return cls(Path(settings.path))

    def seal(self) -> None:
        """Make it safe from power loss and other users, as a store's own files are.

        Raises:
            StoreUnavailable: the disk fails.
        """
        try:
            descriptor = os.open(self._path, os.O_RDONLY)
            try:
                os.fchmod(descriptor, 0o600)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as fault:
            raise StoreUnavailable(f"The file fails: {fault.strerror}") from fault

    def create(self, key: str) -> BlobWriter:
        raise StoreReadOnly("A lent file is only read", key=key)

    def resume(self, key: str) -> BlobWriter:
        raise StoreReadOnly("A lent file is only read", key=key)

    def open(self, key: str, offset: int = 0, length: int | None = None) -> BlobReader:
        size = self.size(key)
        end = size if length is None else min(size, offset + length)
        return _Reader(self._path.open("rb", buffering=0), offset, end)

    def size(self, key: str) -> int:
        if key != self.KEY:
            raise BlobNotFound(f"There is no blob {key}", key=key)
        return self._path.stat().st_size

    def delete(self, key: str) -> bool:
        del key
        return False

    def keys(self) -> Iterator[str]:
        return iter([self.KEY])

    def unfinished(self) -> Iterator[Unfinished]:
        return iter(())

    def location(self, key: str) -> str:
        self.size(key)
        return self._path.absolute().as_uri()

    def usage(self) -> StoreUsage:
        size = self.size(self.KEY)
        return StoreUsage(1, size, size)

    def local_file(self, key: str) -> Path | None:
        self.size(key)
        return self._path


class _Reader(BlobReader):
    def __init__(self, file: BinaryIO, offset: int, end: int) -> None:
        self._file = file
        self._left = end - offset
        file.seek(offset)

    def read(self, size: int) -> bytes:
        try:
            data = self._file.read(max(0, min(size, self._left)))
        except OSError as fault:
            raise StoreUnavailable(f"The file fails: {fault.strerror}") from fault
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._file.close()
