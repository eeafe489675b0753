"""Data on its way from a store to a client."""

from collections.abc import Callable, Iterator

from kilo_catalog.stores.base import BlobReader

ReadBlock = Callable[[BlobReader, int], bytes]
"""The next bytes of a reader, at most so many."""


class DataBlocks:
    """A response body that is read block by block, and closed when the client has gone."""

    def __init__(self, read_block: ReadBlock, reader: BlobReader, size: int) -> None:
        self._read_block = read_block
        self._reader = reader
        self._size = size

    def __iter__(self) -> Iterator[bytes]:
        while block := self._read_block(self._reader, self._size):
            yield block

    def close(self) -> None:
        """Called by the server, whether all was sent or not."""
        self._reader.close()
