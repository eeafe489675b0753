"""The interface of a blob store: bytes under a key, readable only once they are whole.

A store knows nothing of images. Its verbs block and may be called from any thread. Every driver
passes `tests/contracts/blob_store.py`.

BlobNotFound    NotFound      no blob has that key
BlobExists      Conflict      the key is taken
KeyInvalid      InvalidInput  the key is not one a store takes
StoreFull       TooLarge      there is no room for the bytes
StoreReadOnly   Forbidden     the store keeps nothing, it only reads
StoreUnavailable Unavailable  the store does not answer, or fails
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import ClassVar

from msgspec import Struct

from kilo_catalog.stores.settings import StoreSettings
from kilo_common import errors

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


class BlobNotFound(errors.NotFound):
    code = "catalog.blob.not_found"


class BlobExists(errors.Conflict):
    code = "catalog.blob.exists"


class KeyInvalid(errors.InvalidInput):
    code = "catalog.blob.key_invalid"


class StoreFull(errors.TooLarge):
    code = "catalog.store.full"


class StoreReadOnly(errors.Forbidden):
    code = "catalog.store.read_only"


class StoreUnavailable(errors.Unavailable):
    code = "catalog.store.unavailable"


class Capability(Enum):
    """What one driver can do and another cannot; who needs it asks for it."""

    WRITE = "write"
    """It takes blobs. A store without it reads what others have put there."""
    LOCAL_FILES = "local-files"
    """`local_file` gives a file."""
    PRESIGN = "presign"
    """`presign` gives a URL."""
    READS_OUTLIVE_DELETION = "reads-outlive-deletion"
    """A reader goes on to its end although the blob was deleted meanwhile."""
    ONE_PROCESS = "one-process"
    """Its blobs are seen by the process that holds it alone, and end with that."""
    ADOPT_OWN = "adopt-own"
    """`adopt` takes over blobs of another store of the same driver in the same place."""


class StoreUsage(Struct, frozen=True):
    """What a store holds, in bytes."""

    blobs: int
    size: int
    """Of all blobs together, each counted by itself."""
    stored: int
    """Kept for them: less than `size` where equal blobs are kept once."""
    free: int | None = None
    """Left for more, where there is an end to it."""


class Unfinished(Struct, frozen=True):
    """A blob that was begun and neither committed nor cancelled."""

    key: str
    touched_at: datetime
    """When bytes were last written to it."""


def check_key(key: str) -> str:
    """`key`, if a store may use it: letters, digits, `_` and `-`, so that it names no other place.

    Raises:
        KeyInvalid: it has anything else, or more than 128 characters.
    """
    if not _KEY.fullmatch(key):
        raise KeyInvalid("A blob's key has 1 to 128 letters, digits, - or _", key=key[:128])
    return key


class BlobWriter(ABC):
    """A blob being written, by one thread at a time. It ends with one of `commit`, `cancel`,
    `suspend`."""

    @property
    @abstractmethod
    def offset(self) -> int:
        """Where the next byte goes: how many have been written."""

    @abstractmethod
    def write(self, data: bytes | memoryview) -> None:
        """Append `data`, and hold on to none of it. After an error only `cancel` and `suspend` are
        left to do.

        Raises:
            StoreFull, StoreUnavailable: the bytes could not be kept.
        """

    @abstractmethod
    def commit(self, digest: str | None = None) -> int:
        """Make the blob readable and safe from power loss, and return its size.

        `digest` is the sha512 of the bytes, in hexadecimal digits, if the caller has it: a store
        that keeps equal blobs once goes by it, and finds it out itself otherwise.

        Raises:
            BlobExists: another writer of the same key was faster; this one's bytes are gone.
            StoreFull, StoreUnavailable: it is not readable; cancel it.
        """

    @abstractmethod
    def cancel(self) -> None:
        """Remove what was written. Harmless after `commit` and when repeated; never raises."""

    @abstractmethod
    def suspend(self) -> int:
        """Keep what was written for `BlobStore.resume`, and return how much that is: after a
        failure it may be less than `offset`.

        Raises:
            StoreFull, StoreUnavailable: it cannot tell; `resume` will.
        """


class BlobReader(ABC):
    """A range of a blob being read, by one thread at a time."""

    @abstractmethod
    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`; empty at the end of the range.

        Raises:
            StoreUnavailable: they cannot be read, or are not there any more.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of it; twice is harmless."""


class BlobStore(ABC):
    """Blobs by key."""

    driver: ClassVar[str]
    capabilities: frozenset[Capability]

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: StoreSettings) -> "BlobStore":
        """A store as the configuration has it. Nothing is asked of a server yet.

        Raises:
            ConfigInvalid: a setting that this driver needs is missing or wrong.
        """

    @abstractmethod
    def create(self, key: str) -> BlobWriter:
        """Begin a blob. Nothing is readable under `key` before the writer's commit.

        Raises:
            KeyInvalid: see `check_key`.
            BlobExists: there is a blob of that key, or one was begun.
            StoreReadOnly, StoreFull, StoreUnavailable: it cannot be begun.
        """

    @abstractmethod
    def resume(self, key: str) -> BlobWriter:
        """Go on with a blob that was begun: suspended, or left by a process that died. The writer's
        `offset` says how much of it is there. Who resumes knows that nobody else writes it.

        Raises:
            KeyInvalid: see `check_key`.
            BlobExists: it has been committed.
            BlobNotFound: none was begun.
            StoreReadOnly, StoreUnavailable.
        """

    @abstractmethod
    def open(self, key: str, offset: int = 0, length: int | None = None) -> BlobReader:
        """Read `length` bytes (all that follow) from `offset` on.

        A range that reaches past the end stops there; an offset at or past the end reads nothing.

        Raises:
            KeyInvalid, BlobNotFound, StoreUnavailable.
        """

    @abstractmethod
    def size(self, key: str) -> int:
        """The bytes in a blob.

        Raises:
            KeyInvalid, BlobNotFound, StoreUnavailable.
        """

    @abstractmethod
    def delete(self, key: str) -> bool:
        """Remove a blob, committed or unfinished; whether there was anything. Idempotent. A store
        that only reads removes nothing.

        Raises:
            KeyInvalid, StoreUnavailable.
        """

    @abstractmethod
    def keys(self) -> Iterator[str]:
        """The keys of all committed blobs, in no order. For repair; it may take long.

        Raises:
            StoreUnavailable.
        """

    @abstractmethod
    def unfinished(self) -> Iterator[Unfinished]:
        """What was begun and not ended, by living writers and by dead ones.

        Raises:
            StoreUnavailable.
        """

    @abstractmethod
    def location(self, key: str) -> str:
        """A URL that says to people and clients where the blob is: file:///…, s3://bucket/….
        It gives nobody access, and holds no secret.

        Raises:
            KeyInvalid, BlobNotFound, StoreUnavailable.
        """

    @abstractmethod
    def usage(self) -> StoreUsage:
        """What the store holds. It may take long.

        Raises:
            StoreUnavailable.
        """

    def local_file(self, key: str) -> Path | None:
        """The file of a committed blob on this machine, to be read and never written; None if it
        is not in a file of its own.

        Raises:
            KeyInvalid, BlobNotFound, StoreUnavailable.
        """
        self.size(key)
        return None

    def adopt(
        self, key: str, source: "BlobStore", source_key: str, digest: str | None = None
    ) -> bool:
        """Make a committed blob of another store a blob of this one, without the bytes passing
        through this process: by a hard link, a shared extent, a copy on the server. False if that
        is not possible between the two; then nothing has changed. The source keeps its blob.
        `digest` as in `BlobWriter.commit`.

        Raises:
            KeyInvalid, BlobNotFound: of the source's.
            BlobExists: `key` is taken here.
            StoreFull, StoreUnavailable.
        """
        del key, source, source_key, digest
        return False

    def presign(self, key: str, seconds: int) -> str | None:
        """A URL by which whoever has it can read the blob for so long; None if there is no such.

        Raises:
            KeyInvalid, BlobNotFound, StoreUnavailable.
        """
        del seconds
        self.size(key)
        return None
