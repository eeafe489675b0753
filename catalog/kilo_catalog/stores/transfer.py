"""Between stores, and between a store and its user: copy, move, verify, hand over.

DataDamaged   Failure   the bytes are not those that were put there
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from kilo_catalog.stores.base import BlobNotFound, BlobStore, KeyInvalid, StoreUnavailable
from kilo_catalog.stores.folder import share_file
from kilo_common import errors

BLOCK = 4 << 20
Progress = Callable[[int], None]
"""Called with the bytes done so far; what it raises ends the work."""


class DataDamaged(errors.Failure):
    code = "catalog.blob.damaged"


class Fingerprint(Struct, frozen=True):
    """What bytes are known by."""

    size: int
    algorithm: str
    digest: str
    """In hexadecimal digits."""


def locate(stores: Mapping[str, BlobStore], url: str) -> tuple[str, str] | None:
    """Which of these stores has a blob at a URL, and its key there; None if none has.

    A URL is one that `BlobStore.location` gives. Stores that cannot be asked are passed over, as
    are URLs that are none.
    """
    try:
        path = urlsplit(url).path
    except ValueError:
        return None
    # Drivers make the key a part of the path; for the web it is the URL itself.
    keys = [*reversed([unquote(part) for part in path.split("/") if part]), url]
    for name, store in stores.items():
        for key in keys:
            with contextlib.suppress(KeyInvalid, BlobNotFound, StoreUnavailable):
                if store.location(key) == url:
                    return name, key
    return None


def blocks(store: BlobStore, key: str, size: int = BLOCK) -> Iterator[bytes]:
    """The bytes of a blob. Raises as `BlobStore.open` and `BlobReader.read`."""
    with contextlib.closing(store.open(key)) as reader:
        while block := reader.read(size):
            yield block


def fingerprint(
    store: BlobStore, key: str, algorithm: str = "sha512", progress: Progress | None = None
) -> Fingerprint:
    """Read a blob from its beginning to its end, and say what it is.

    Raises:
        BlobNotFound, StoreUnavailable: it cannot be read.
    """
    digest = hashlib.new(algorithm, usedforsecurity=False)
    size = 0
    for block in blocks(store, key):
        digest.update(block)
        size += len(block)
        if progress is not None:
            progress(size)
    return Fingerprint(size, algorithm, digest.hexdigest())


def verify(
    store: BlobStore, key: str, expected: Fingerprint, progress: Progress | None = None
) -> None:
    """Return if the blob's bytes are those expected.

    Raises:
        DataDamaged: they are not.
        BlobNotFound, StoreUnavailable: they cannot be read.
    """
    check(key, fingerprint(store, key, expected.algorithm, progress), expected)


def check(key: str, found: Fingerprint, expected: Fingerprint) -> None:
    """Return if both are the same. Raises DataDamaged."""
    if found != expected:
        raise DataDamaged(
            f"The blob {key} has {found.size} bytes with {found.algorithm} {found.digest[:16]}…; "
            f"recorded are {expected.size} with {expected.digest[:16]}…",
            key=key,
        )


def copy(
    source: BlobStore,
    key: str,
    target: BlobStore,
    target_key: str,
    *,
    expected: Fingerprint | None = None,
    progress: Progress | None = None,
) -> int:
    """Copy a blob into another store, without moving its bytes where the two can do that; its size.

    Bytes that pass through here are compared with what is expected, and nothing damaged is kept.

    Raises:
        BlobNotFound, BlobExists, StoreFull, StoreUnavailable: it was not copied.
        DataDamaged: the source has other bytes.
    """
    sha512 = expected.digest if expected and expected.algorithm == "sha512" else None
    if target.adopt(target_key, source, key, sha512):
        size = target.size(target_key)
        if progress is not None:
            progress(size)
        return size
    digest = hashlib.new(expected.algorithm if expected else "sha512", usedforsecurity=False)
    writer = target.create(target_key)
    try:
        for block in blocks(source, key):
            digest.update(block)
            writer.write(block)
            if progress is not None:
                progress(writer.offset)
        found = Fingerprint(writer.offset, digest.name, digest.hexdigest())
        if expected is not None:
            check(key, found, expected)
        return writer.commit(sha512)
    except BaseException:
        writer.cancel()
        raise


def move(
    source: BlobStore,
    key: str,
    target: BlobStore,
    target_key: str,
    *,
    expected: Fingerprint | None = None,
    progress: Progress | None = None,
) -> int:
    """Copy a blob and remove it from where it was; its size. Raises as `copy`."""
    size = copy(source, key, target, target_key, expected=expected, progress=progress)
    source.delete(key)
    return size


def hand_over(store: BlobStore, key: str, target: Path, *, writable: bool = False) -> bool:
    """Make a blob a file of a consumer on this machine without copying it; False where that is not
    possible, and `target` is then not there.

    A file that is to be `writable` shares extents with the blob's and is apart from it otherwise;
    one that is not may be another name of the same file, which nobody must write.

    Raises:
        BlobNotFound, StoreUnavailable: there is no such blob, or the file cannot be made.
    """
    file = store.local_file(key)
    if file is None:
        return False
    try:
        return share_file(file, target, linked=False) or (not writable and share_file(file, target))
    except OSError as fault:
        raise StoreUnavailable(f"{target} cannot be made: {fault.strerror}") from fault


def fetch_to(
    store: BlobStore, key: str, target: Path, expected: Fingerprint, *, writable: bool = False
) -> bool:
    """Make a blob a file of a consumer on this machine, verified; whether it was handed over
    without copying.

    Raises:
        DataDamaged: the bytes are not those expected; there is no file.
        BlobNotFound, StoreUnavailable.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        if hand_over(store, key, temporary, writable=writable):
            with temporary.open("rb") as file:
                digest = hashlib.file_digest(file, expected.algorithm).hexdigest()
            check(key, Fingerprint(temporary.stat().st_size, expected.algorithm, digest), expected)
            temporary.replace(target)
            return True
        hasher = hashlib.new(expected.algorithm, usedforsecurity=False)
        with temporary.open("xb") as file:
            for block in blocks(store, key):
                hasher.update(block)
                file.write(block)
            size = file.tell()
        check(key, Fingerprint(size, expected.algorithm, hasher.hexdigest()), expected)
        temporary.replace(target)
        return False
    finally:
        temporary.unlink(missing_ok=True)
