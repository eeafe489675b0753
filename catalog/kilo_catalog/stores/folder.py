"""One folder of a filesystem store: how files in it begin, appear, are shared and go.

    uploads/KEY     being written
    blobs/KEY       whole, synced, never written again
    content/SHA512  the same file once more by its digest, where equal blobs are kept once
    digests/KEY     a symbolic link that says which of these a blob shares

Files appear by hard link, which fails and does not replace when a name is taken. A file in
`content/` that no blob shares any more has one name left. Who adds or removes names of it holds the
folder's lock; even without it a blob would not lose its bytes, since its own name keeps them.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from kilo_catalog.stores.base import BlobExists, StoreUsage
from kilo_common.errors import ConfigInvalid

_DIGEST = re.compile(r"[0-9a-f]{128}")
_FICLONE = 0x40049409
"""The ioctl that makes one file share another's extents (ioctl_ficlone(2))."""
_NO_SHARING = frozenset(
    {errno.EXDEV, errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EPERM, errno.EMLINK,
     errno.EACCES, errno.ENOSYS}
)  # fmt: skip


class BlobFolder:
    """A folder with blobs."""

    def __init__(self, path: str, *, deduplicate: bool) -> None:
        """Use the folder at `path`; it is made if need be, 0700, and its files are 0600.

        Raises:
            ConfigInvalid: it cannot be made or written.
        """
        self.root = Path(path)
        self.blobs = self.root / "blobs"
        self.uploads = self.root / "uploads"
        self._content = self.root / "content"
        self._digests = self.root / "digests"
        self._deduplicate = deduplicate
        folders = [self.root, self.blobs, self.uploads]
        if deduplicate:
            folders += [self._content, self._digests]
        try:
            self.root.parent.mkdir(parents=True, exist_ok=True)
            for folder in folders:
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as fault:
            raise ConfigInvalid(
                f"The store's folder {path} cannot be made: {fault.strerror}", path=path
            ) from None
        if not os.access(self.uploads, os.W_OK | os.X_OK):
            raise ConfigInvalid(f"The store's folder {path} cannot be written", path=path)

    def free(self) -> int:
        """The bytes that we may still write."""
        found = os.statvfs(self.root)
        return found.f_bavail * found.f_frsize

    def publish(self, source: Path, key: str, digest: str | None) -> None:
        """Give a synced file the name of a blob, or let the blob share what is there already. The
        source stays.

        Raises:
            BlobExists: the name is taken.
            OSError
        """
        if self._deduplicate:
            digest = digest if digest and _DIGEST.fullmatch(digest) else hash_file(source)
            with self._locked():
                self._share(source, key, digest)
        else:
            _link(source, self.blobs / key)
        try:
            sync_folder(self.blobs)
        except OSError:
            self.remove(key)
            raise

    def remove(self, key: str) -> bool:
        """Remove a blob, and the bytes if nobody shares them; whether there was one."""
        digest = self._digest_of(key)
        if digest is None:
            return remove_file(self.blobs / key)
        with self._locked():
            removed = remove_file(self.blobs / key)
            content = self._content / digest
            with contextlib.suppress(FileNotFoundError):
                if content.stat().st_nlink == 1:
                    content.unlink()
            remove_file(self._digests / key)
        return removed

    def tidy(self) -> None:
        """Remove content whose last blob went while another store still had a name of the file."""
        if not self._deduplicate:
            return
        with self._locked():
            for entry in os.scandir(self._content):
                if entry.name != ".lock" and entry.stat().st_nlink == 1:
                    remove_file(self._content / entry.name)

    def usage(self) -> StoreUsage:
        """What is in it."""
        size, count = 0, 0
        seen: dict[int, int] = {}
        for entry in os.scandir(self.blobs):
            with contextlib.suppress(FileNotFoundError):
                found = entry.stat()
                count += 1
                size += found.st_size
                seen[found.st_ino] = found.st_size
        return StoreUsage(count, size, sum(seen.values()), self.free())

    def _share(self, source: Path, key: str, digest: str) -> None:
        if (self.blobs / key).exists():
            raise BlobExists(f"There is a blob {key} already", key=key)
        content = self._content / digest
        with contextlib.suppress(FileNotFoundError):
            if content.stat().st_size != source.stat().st_size:
                content.unlink()  # damaged: it is not what its name says
        with contextlib.suppress(FileExistsError):
            os.link(source, content)
        remove_file(self._digests / key)
        (self._digests / key).symlink_to(digest)
        try:
            _link(content, self.blobs / key)
        except OSError as fault:
            if fault.errno != errno.EMLINK:
                raise
            _link(source, self.blobs / key)  # as many names as a file can have: it stands alone
        for folder in (self._content, self._digests):
            sync_folder(folder)

    def _digest_of(self, key: str) -> str | None:
        try:
            return str((self._digests / key).readlink())
        except OSError:
            return None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self._content / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def share_file(source: Path, target: Path, *, linked: bool = True) -> bool:
    """Make `target` the same bytes as `source` without copying them: sharing extents or, if
    `linked`, as another name of the same file. False where the file systems can do neither.

    Raises:
        FileExistsError: there is a target already.
        OSError: anything else.
    """
    if linked:
        try:
            os.link(source, target)
        except OSError as fault:
            if fault.errno not in _NO_SHARING:
                raise
        else:
            return True
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with source.open("rb") as file:
            fcntl.ioctl(descriptor, _FICLONE, file.fileno())
        os.fsync(descriptor)
    except OSError as fault:
        target.unlink()
        if fault.errno not in _NO_SHARING:
            raise
        return False
    finally:
        os.close(descriptor)
    return True


def hash_file(path: Path) -> str:
    """The sha512 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha512").hexdigest()


def remove_file(path: Path) -> bool:
    """Remove a file; whether there was one."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Make the folder's entries survive a power cut, as fsync does a file's bytes."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        raise BlobExists(f"There is a blob {target.name} already", key=target.name) from None
