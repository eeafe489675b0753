"""Blobs as files: written under `uploads/`, renamed into `blobs/` once they are safe on disk.

Both folders are on one file system, so the rename is atomic. Files are 0600, folders 0700.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from kilo_catalog.stores.base import (
    BlobExists,
    BlobNotFound,
    BlobReader,
    BlobStore,
    BlobWriter,
    StoreFull,
    StoreUnavailable,
    Unfinished,
    check_key,
)
from kilo_common.errors import ConfigInvalid

P = ParamSpec("P")
T = TypeVar("T")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def _translated(verb: Callable[P, T]) -> Callable[P, T]:
    """`verb`, whose OS errors are raised as the interface's own."""

    @wraps(verb)
    def translated(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return verb(*args, **kwargs)
        except OSError as fault:
            if fault.errno in _FULL:
                raise StoreFull(f"The store has no room left: {fault.strerror}") from fault
            raise StoreUnavailable(f"The store's folder fails: {fault.strerror}") from fault

    return translated


class FilesystemStore(BlobStore):
    """Blobs in a folder."""

    driver = "filesystem"

    def __init__(self, path: str) -> None:
        """Use the folder at `path`; it is made if need be.

        Raises:
            ConfigInvalid: there is no path, or the folder cannot be made or written.
        """
        if not path:
            raise ConfigInvalid("A filesystem store needs a path: set stores.NAME.path", key="path")
        self._blobs = Path(path) / "blobs"
        self._uploads = Path(path) / "uploads"
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            for folder in (Path(path), self._blobs, self._uploads):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as fault:
            raise ConfigInvalid(
                f"The store's folder {path} cannot be made: {fault.strerror}", path=path
            ) from None
        if not os.access(self._uploads, os.W_OK | os.X_OK):
            raise ConfigInvalid(f"The store's folder {path} cannot be written", path=path)

    @_translated
    def create(self, key: str) -> BlobWriter:
        temporary, final = self._uploads / check_key(key), self._blobs / key
        if final.exists():
            raise BlobExists(f"There is a blob {key} already", key=key)
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise BlobExists(f"A blob {key} has been begun already", key=key) from None
        return _FileWriter(descriptor, temporary, final)

    @_translated
    def open(self, key: str, offset: int = 0, length: int | None = None) -> BlobReader:
        try:
            descriptor = os.open(self._blobs / check_key(key), os.O_RDONLY)
        except FileNotFoundError:
            raise BlobNotFound(f"There is no blob {key}", key=key) from None
        size = os.fstat(descriptor).st_size
        end = size if length is None else min(size, offset + length)
        return _FileReader(descriptor, offset, end)

    @_translated
    def size(self, key: str) -> int:
        try:
            return (self._blobs / check_key(key)).stat().st_size
        except FileNotFoundError:
            raise BlobNotFound(f"There is no blob {key}", key=key) from None

    @_translated
    def delete(self, key: str) -> bool:
        check_key(key)
        begun, committed = _remove(self._uploads / key), _remove(self._blobs / key)
        return begun or committed

    @_translated
    def keys(self) -> Iterator[str]:
        return iter([entry.name for entry in os.scandir(self._blobs)])

    @_translated
    def unfinished(self) -> Iterator[Unfinished]:
        found: list[Unfinished] = []
        for entry in os.scandir(self._uploads):
            if (self._blobs / entry.name).exists():
                # Its process died just after the commit: only the second name is left over.
                _remove(self._uploads / entry.name)
                continue
            with contextlib.suppress(FileNotFoundError):  # it ended while we looked
                touched = datetime.fromtimestamp(entry.stat().st_mtime, UTC)
                found.append(Unfinished(entry.name, touched))
        return iter(found)


class _FileWriter(BlobWriter):
    def __init__(self, descriptor: int, temporary: Path, final: Path) -> None:
        self._descriptor = descriptor
        self._temporary = temporary
        self._final = final
        self._size = 0

    @_translated
    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.write(self._descriptor, view)
            self._size += written
            view = view[written:]

    @_translated
    def commit(self) -> int:
        os.fsync(self._descriptor)
        self._close()
        try:
            # A link instead of a rename: it fails, and does not replace, when the name is taken.
            os.link(self._temporary, self._final)
        except FileExistsError:
            _remove(self._temporary)
            raise BlobExists(f"There is a blob {self._final.name} already") from None
        try:
            _sync_folder(self._final.parent)
        except OSError:
            _remove(self._final)
            raise
        _remove(self._temporary)
        return self._size

    def cancel(self) -> None:
        with contextlib.suppress(OSError):
            self._close()
        with contextlib.suppress(OSError):
            _remove(self._temporary)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class _FileReader(BlobReader):
    def __init__(self, descriptor: int, offset: int, end: int) -> None:
        self._descriptor = descriptor
        self._offset = offset
        self._end = end

    @_translated
    def read(self, size: int) -> bytes:
        wanted = min(size, self._end - self._offset)
        if wanted <= 0:
            return b""
        data = os.pread(self._descriptor, wanted, self._offset)
        if not data:
            raise StoreUnavailable("The blob's file is shorter than it was")
        self._offset += len(data)
        return data

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    """Make the folder's entries survive a power cut, as fsync does a file's bytes."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
