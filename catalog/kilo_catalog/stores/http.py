"""Reads blobs from web servers; a blob's key is its URL. It keeps nothing and removes nothing.

URLs may come from users: the guarded fetcher goes to them, under the store's own policy.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO

from kilo_catalog.stores.base import (
    BlobNotFound,
    BlobReader,
    BlobStore,
    BlobWriter,
    Capability,
    KeyInvalid,
    StoreReadOnly,
    StoreUnavailable,
    StoreUsage,
    Unfinished,
)
from kilo_catalog.stores.settings import StoreSettings
from kilo_common.fetch.errors import FetchFailed, FetchRefused, FetchTooLarge
from kilo_common.fetch.fetcher import Fetcher, FetchStream
from kilo_common.fetch.policy import FetchPolicy

READ_AHEAD = 8 << 20
_ABSENT = frozenset({404, 410})
_NO_FIRST_BYTE = 416


class HttpStore(BlobStore):
    """Blobs on the web."""

    driver = "http"
    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, policy: FetchPolicy) -> None:
        """Read what the policy lets in. Raises ConfigInvalid."""
        self._fetcher = Fetcher(policy)

    @classmethod
    def from_settings(cls, settings: StoreSettings) -> "HttpStore":
        return cls(settings.http)

    def create(self, key: str) -> BlobWriter:
        raise _read_only(key)

    def resume(self, key: str) -> BlobWriter:
        raise _read_only(key)

    def open(self, key: str, offset: int = 0, length: int | None = None) -> BlobReader:
        size = self.size(key)
        end = size if length is None else min(size, offset + length)
        return _HttpReader(self._fetcher, key, offset, end)

    def size(self, key: str) -> int:
        self._check(key)
        with _translated(key):
            try:
                stream = self._fetcher.open(key, length=1)
            except FetchFailed as fault:
                if fault.details.get("status") == _NO_FIRST_BYTE:
                    return 0
                raise
            with stream:
                total = stream.headers.get("content-range", "").rpartition("/")[2]
                if stream.status == 206 and total.isascii() and total.isdigit():
                    return int(total)
                if stream.status == 200 and stream.length is not None:
                    return stream.length
        raise StoreUnavailable(f"{key} does not say how many bytes it has")

    def delete(self, key: str) -> bool:
        self._check(key)
        return False

    def keys(self) -> Iterator[str]:
        return iter(())

    def unfinished(self) -> Iterator[Unfinished]:
        return iter(())

    def location(self, key: str) -> str:
        self.size(key)
        return key

    def usage(self) -> StoreUsage:
        return StoreUsage(0, 0, 0)

    def _check(self, key: str) -> None:
        try:
            self._fetcher.check(key)
        except FetchRefused as fault:
            raise KeyInvalid(fault.message, key=str(key)[:255]) from None


class _HttpReader(BlobReader):
    """Asks for a piece at a time, so that no connection is held from one call to the next. What a
    server without ranges sends is kept in a temporary file."""

    def __init__(self, fetcher: Fetcher, url: str, offset: int, end: int) -> None:
        self._fetcher = fetcher
        self._url = url
        self._offset = offset
        self._end = end
        self._ahead = b""
        self._whole: IO[bytes] | None = None
        self._start = 0

    def read(self, size: int) -> bytes:
        if not self._ahead:
            wanted = min(max(size, READ_AHEAD), self._end - self._offset)
            if wanted <= 0:
                return b""
            self._ahead = self._fetch(wanted)
            if not self._ahead:
                raise StoreUnavailable(f"{self._url} has fewer bytes than it said")
            self._offset += len(self._ahead)
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        return data

    def close(self) -> None:
        self._end = 0
        self._ahead = b""
        if self._whole is not None:
            self._whole.close()

    def _fetch(self, length: int) -> bytes:
        with _translated(self._url):
            if self._whole is None:
                with self._fetcher.open(self._url, offset=self._offset, length=length) as stream:
                    if stream.status == 206 or stream.length == length:
                        return _take(stream, length)
                    # All before the offset was skipped; asked for piece by piece, each would cost
                    # all that is before it.
                    self._whole, self._start = _keep(stream), self._offset
            self._whole.seek(self._offset - self._start)
            return self._whole.read(length)


def _take(stream: FetchStream, length: int) -> bytes:
    pieces: list[bytes] = []
    while length > 0 and (piece := stream.read(length)):
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


def _keep(stream: FetchStream) -> IO[bytes]:
    """What is left of a stream, in a temporary file."""
    file = TemporaryFile()  # noqa: SIM115 - the reader closes it
    try:
        while piece := stream.read(1 << 20):
            file.write(piece)
    except BaseException:
        file.close()
        raise
    return file


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """The fetcher's errors as the interface's own."""
    try:
        yield
    except FetchRefused as fault:
        raise KeyInvalid(fault.message, key=url[:255]) from fault
    except FetchFailed as fault:
        if fault.details.get("status") in _ABSENT:
            raise BlobNotFound(f"There is nothing at {url}", key=url[:255]) from fault
        raise StoreUnavailable(fault.message) from fault
    except (FetchTooLarge, OSError) as fault:
        raise StoreUnavailable(str(fault)) from fault


def _read_only(key: str) -> StoreReadOnly:
    return StoreReadOnly("This store only reads; choose another for new data", key=str(key)[:255])
