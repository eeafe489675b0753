"""Blobs as files: written under a temporary name, given their own once they are safe on disk.

A store has one folder or several; a blob is in one of them. `folder.py` says what is in a folder.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Mapping
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
    Capability,
    StoreFull,
    StoreUnavailable,
    StoreUsage,
    Unfinished,
    check_key,
)
from kilo_catalog.stores.folder import BlobFolder, remove_file, share_file
from kilo_catalog.stores.settings import StoreSettings
from kilo_common.errors import ConfigInvalid

P = ParamSpec("P")
T = TypeVar("T")
_PUSH = 8 << 20
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
    """Blobs in folders."""

    driver = "filesystem"
    capabilities = frozenset(
        {
            Capability.WRITE,
            Capability.LOCAL_FILES,
            Capability.READS_OUTLIVE_DELETION,
            Capability.ADOPT_OWN,
        }
    )

    def __init__(
        self,
        path: str = "",
        *,
        folders: Mapping[str, int] | None = None,
        deduplicate: bool = False,
    ) -> None:
        """Use the folder at `path`, or `folders` with their weights.

        Raises:
            ConfigInvalid: there is no path, or a folder cannot be made or written.
        """
        weights = dict(folders or {}) or ({path: 0} if path else {})
        if not weights:
            raise ConfigInvalid("A filesystem store needs a path: set stores.NAME.path", key="path")
        self._folders = tuple(
            (weight, BlobFolder(each, deduplicate=deduplicate)) for each, weight in weights.items()
        )

    @classmethod
    def from_settings(cls, settings: StoreSettings) -> "FilesystemStore":
        if settings.path and settings.folders:
            raise ConfigInvalid("A filesystem store has a path or folders, not both", key="folders")
        return cls(settings.path, folders=settings.folders, deduplicate=settings.deduplicate)

    @_translated
    def create(self, key: str) -> BlobWriter:
        check_key(key)
        for _weight, folder in self._folders:
            if (folder.blobs / key).exists() or (folder.uploads / key).exists():
                raise BlobExists(f"There is a blob {key} already, or one was begun", key=key)
        folder = self._roomiest()
        try:
            descriptor = os.open(folder.uploads / key, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise BlobExists(f"A blob {key} has been begun already", key=key) from None
        return _FileWriter(descriptor, folder, key, 0)

    @_translated
    def resume(self, key: str) -> BlobWriter:
        check_key(key)
        for _weight, folder in self._folders:
            if (folder.blobs / key).exists():
                raise BlobExists(f"The blob {key} is whole", key=key)
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(folder.uploads / key, os.O_RDWR)
                return _FileWriter(descriptor, folder, key, os.lseek(descriptor, 0, os.SEEK_END))
        raise BlobNotFound(f"No blob {key} was begun", key=key)

    @_translated
    def open(self, key: str, offset: int = 0, length: int | None = None) -> BlobReader:
        descriptor = os.open(self._find(key), os.O_RDONLY)
        size = os.fstat(descriptor).st_size
        end = size if length is None else min(size, offset + length)
        return _FileReader(descriptor, offset, end)

    @_translated
    def size(self, key: str) -> int:
        return self._find(key).stat().st_size

    @_translated
    def delete(self, key: str) -> bool:
        check_key(key)
        found = False
        for _weight, folder in self._folders:
            found = remove_file(folder.uploads / key) or found
            found = folder.remove(key) or found
        return found

    @_translated
    def keys(self) -> Iterator[str]:
        return iter(
            [entry.name for _, folder in self._folders for entry in os.scandir(folder.blobs)]
        )

    @_translated
    def unfinished(self) -> Iterator[Unfinished]:
        found: list[Unfinished] = []
        for _weight, folder in self._folders:
            folder.tidy()
            for entry in os.scandir(folder.uploads):
                if (folder.blobs / entry.name).exists():
                    # Its process died just after the commit: only the second name is left over.
                    remove_file(folder.uploads / entry.name)
                    continue
                with contextlib.suppress(FileNotFoundError):  # it ended while we looked
                    touched = datetime.fromtimestamp(entry.stat().st_mtime, UTC)
                    found.append(Unfinished(entry.name, touched))
        return iter(found)

    @_translated
    def location(self, key: str) -> str:
        return self._find(key).absolute().as_uri()

    @_translated
    def usage(self) -> StoreUsage:
        found = [folder.usage() for _weight, folder in self._folders]
        return StoreUsage(
            sum(each.blobs for each in found),
            sum(each.size for each in found),
            sum(each.stored for each in found),
            sum(each.free or 0 for each in found),
        )

    @_translated
    def local_file(self, key: str) -> Path | None:
        return self._find(key)

    @_translated
    def adopt(
        self, key: str, source: BlobStore, source_key: str, digest: str | None = None
    ) -> bool:
        file = source.local_file(source_key)
        if file is None:
            return False
        writer = self.create(key)
        writer.cancel()  # it has only shown that the key is free
        by_room = sorted(self._folders, key=lambda each: (-each[0], -each[1].free()))
        for _weight, folder in by_room:
            temporary = folder.uploads / key
            try:
                shared = share_file(file, temporary)
            except FileExistsError:
                raise BlobExists(f"A blob {key} has been begun already", key=key) from None
            if shared:
                try:
                    folder.publish(temporary, key, digest)
                finally:
                    remove_file(temporary)
                return True
        return False

    def _roomiest(self) -> BlobFolder:
        if len(self._folders) == 1:
            return self._folders[0][1]
        free = {folder.root: folder.free() for _weight, folder in self._folders}
        with_room = [each for each in self._folders if free[each[1].root] > 0] or self._folders
        return max(with_room, key=lambda each: (each[0], free[each[1].root]))[1]

    def _find(self, key: str) -> Path:
        check_key(key)
        for _weight, folder in self._folders:
            path = folder.blobs / key
            if path.exists():
                return path
        raise BlobNotFound(f"There is no blob {key}", key=key)


class _FileWriter(BlobWriter):
    def __init__(self, descriptor: int, folder: BlobFolder, key: str, offset: int) -> None:
        self._descriptor = descriptor
        self._folder = folder
        self._key = key
        self._temporary = folder.uploads / key
        self._offset = self._pushed = offset

    @property
    def offset(self) -> int:
        return self._offset

    @_translated
    def write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            written = os.write(self._descriptor, view)
            self._offset += written
            view = view[written:]
        self._push()

    @_translated
    def commit(self, digest: str | None = None) -> int:
        os.fsync(self._descriptor)
        self._close()
        try:
            self._folder.publish(self._temporary, self._key, digest)
        except BlobExists:
            remove_file(self._temporary)
            raise
        remove_file(self._temporary)
        return self._offset

    def _push(self) -> None:
        """Have what was written go to the disk while more comes: `commit` then waits for little.

        The advice makes Linux begin to write back these pages, and drops none that is not written.
        """
        if self._offset - self._pushed >= _PUSH:
            with contextlib.suppress(OSError):  # advice; a file system may not know it
                length = self._offset - self._pushed
                os.posix_fadvise(self._descriptor, self._pushed, length, os.POSIX_FADV_DONTNEED)
            self._pushed = self._offset

    def cancel(self) -> None:
        with contextlib.suppress(OSError):
            self._close()
        with contextlib.suppress(OSError):
            remove_file(self._temporary)

    @_translated
    def suspend(self) -> int:
        os.fsync(self._descriptor)
        self._close()
        return self._offset

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
