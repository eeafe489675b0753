"""A reader for stores that are asked over a network: each piece is one whole request.

No connection is held from one call to the next, so these may come from any thread.
"""

from collections.abc import Callable

from kilo_catalog.stores.base import BlobReader, StoreUnavailable

READ_AHEAD = 8 << 20


class AheadReader(BlobReader):
    """Fetches at least `READ_AHEAD` bytes at a time."""

    def __init__(self, fetch: Callable[[int, int], bytes], offset: int, end: int) -> None:
        """`fetch` returns the bytes from an offset on, of a length, at least one; it raises what
        `read` may."""
        self._fetch = fetch
        self._offset = offset
        self._end = end
        self._ahead = memoryview(b"")

    def read(self, size: int) -> bytes:
        if not self._ahead:
            wanted = min(max(size, READ_AHEAD), self._end - self._offset)
            if wanted <= 0:
                return b""
            fetched = self._fetch(self._offset, wanted)
            if not fetched:
                raise StoreUnavailable("The blob has fewer bytes than the store said")
            self._offset += len(fetched)
            self._ahead = memoryview(fetched)
        data = bytes(self._ahead[:size])
        self._ahead = self._ahead[size:]
        return data

    def close(self) -> None:
        self._end = 0
        self._ahead = memoryview(b"")
