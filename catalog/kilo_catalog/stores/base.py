"""The interface of a blob store: bytes under a key, readable only once they are whole.

A store knows nothing of images. Its verbs block and may be called from any thread. Every driver
passes `tests/contracts/blob_store.py`.

BlobNotFound    NotFound      no committed blob has that key
BlobExists      Conflict      the key is taken
KeyInvalid      InvalidInput  the key is not one a store takes
StoreFull       TooLarge      there is no room for the bytes
StoreUnavailable Unavailable  the store does not answer, or fails
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar

from msgspec import Struct

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


class StoreUnavailable(errors.Unavailable):
    code = "catalog.store.unavailable"


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
    """A blob being written, by one thread at a time. It ends with `commit` or `cancel`."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Append `data`. After an error only `cancel` is left to do.

        Raises:
            StoreFull, StoreUnavailable: the bytes could not be kept.
        """

    @abstractmethod
    def commit(self) -> int:
        """Make the blob readable and safe from power loss, and return its size.

        Raises:
            BlobExists: another writer of the same key was faster; this one's bytes are gone.
            StoreFull, StoreUnavailable: it is not readable; cancel it.
        """

    @abstractmethod
    def cancel(self) -> None:
        """Remove what was written. Harmless after `commit` and when repeated; never raises."""


class BlobReader(ABC):
    """A range of a blob being read. It stays readable when the blob is deleted meanwhile."""

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

    @abstractmethod
    def create(self, key: str) -> BlobWriter:
        """Begin a blob. Nothing is readable under `key` before the writer's commit.

        Raises:
            KeyInvalid: see `check_key`.
            BlobExists: there is a blob of that key, or one was begun.
            StoreFull, StoreUnavailable: it cannot be begun.
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
        """Remove a blob, committed or unfinished; whether there was anything. Idempotent.

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
