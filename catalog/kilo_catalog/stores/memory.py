"""Blobs in memory: for tests and throw-away stacks. Gone when the process ends."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

from kilo_catalog.stores.base import (
    BlobExists,
    BlobNotFound,
    BlobReader,
    BlobStore,
    BlobWriter,
    Capability,
    StoreUnavailable,
    StoreUsage,
    Unfinished,
    check_key,
)
from kilo_catalog.stores.settings import StoreSettings


class MemoryStore(BlobStore):
    """Blobs in two dictionaries: those that are whole, and those being written."""

    driver = "memory"
    capabilities = frozenset(
        {
            Capability.WRITE,
            Capability.READS_OUTLIVE_DELETION,
            Capability.ADOPT_OWN,
            Capability.ONE_PROCESS,
        }
    )

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blobs: dict[str, bytes] = {}
        self._writers: dict[str, _MemoryWriter] = {}

    @classmethod
    def from_settings(cls, settings: StoreSettings) -> "MemoryStore":
        del settings
        return cls()

    def create(self, key: str) -> BlobWriter:
        check_key(key)
        with self._lock:
            if key in self._blobs or key in self._writers:
                raise BlobExists(f"There is a blob {key} already", key=key)
            writer = self._writers[key] = _MemoryWriter(self, key, b"")
        return writer

    def resume(self, key: str) -> BlobWriter:
        check_key(key)
        with self._lock:
            if key in self._blobs:
                raise BlobExists(f"The blob {key} is whole", key=key)
            begun = self._writers.get(key)
            if begun is None:
                raise BlobNotFound(f"No blob {key} was begun", key=key)
            writer = self._writers[key] = _MemoryWriter(self, key, begun.data)
        return writer

    def open(self, key: str, offset: int = 0, length: int | None = None) -> BlobReader:
        blob = self.blob(key)
        end = len(blob) if length is None else offset + length
        return _MemoryReader(memoryview(blob)[offset:end])

    def size(self, key: str) -> int:
        return len(self.blob(key))

    def delete(self, key: str) -> bool:
        check_key(key)
        with self._lock:
            begun = self._writers.pop(key, None)
            return self._blobs.pop(key, None) is not None or begun is not None

    def keys(self) -> Iterator[str]:
        return iter(list(self._blobs))

    def unfinished(self) -> Iterator[Unfinished]:
        with self._lock:
            return iter([Unfinished(key, each.touched_at) for key, each in self._writers.items()])

    def location(self, key: str) -> str:
        self.blob(key)
        return f"memory:{key}"

    def usage(self) -> StoreUsage:
        blobs = list(self._blobs.values())
        size = sum(map(len, blobs))
        return StoreUsage(len(blobs), size, size)

    def adopt(
        self, key: str, source: BlobStore, source_key: str, digest: str | None = None
    ) -> bool:
        del digest
        if not isinstance(source, MemoryStore):
            return False
        blob = source.blob(source_key)
        self.create(key)
        with self._lock:
            del self._writers[key]
            self._blobs[key] = blob
        return True

    def blob(self, key: str) -> bytes:
        """The bytes of a blob. Raises as `size`."""
        try:
            return self._blobs[check_key(key)]
        except KeyError:
            raise BlobNotFound(f"There is no blob {key}", key=key) from None

    def finish(self, key: str, writer: "_MemoryWriter", blob: bytes | None) -> None:
        """The end of a writer: with its blob, or without."""
        with self._lock:
            if self._writers.get(key) is not writer:
                if blob is not None:
                    raise StoreUnavailable(f"The blob {key} was deleted while it was written")
                return
            del self._writers[key]
            if blob is not None:
                self._blobs[key] = blob


class _MemoryWriter(BlobWriter):
    def __init__(self, store: MemoryStore, key: str, data: bytes) -> None:
        self._store = store
        self._key = key
        self._data = bytearray(data)
        self.touched_at = datetime.now(UTC)

    @property
    def offset(self) -> int:
        return len(self._data)

    @property
    def data(self) -> bytes:
        """What was written so far."""
        return bytes(self._data)

    def write(self, data: bytes | memoryview) -> None:
        self._data += data
        self.touched_at = datetime.now(UTC)

    def commit(self, digest: str | None = None) -> int:
        del digest
        self._store.finish(self._key, self, bytes(self._data))
        return len(self._data)

    def cancel(self) -> None:
        self._store.finish(self._key, self, None)
        self._data = bytearray()

    def suspend(self) -> int:
        return len(self._data)


class _MemoryReader(BlobReader):
    def __init__(self, view: memoryview) -> None:
        self._view = view

    def read(self, size: int) -> bytes:
        data = bytes(self._view[:size])
        self._view = self._view[size:]
        return data

    def close(self) -> None:
        self._view = memoryview(b"")
