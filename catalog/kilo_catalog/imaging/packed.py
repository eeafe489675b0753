"""Unpacks compressed streams bit by bit, in little memory, whatever they claim to be.

Streams that were put one after the other (as parallel compressors do) are one, as for the tools
themselves; zeros behind the last are padding.
"""

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from kilo_catalog.errors import CompressionRefused

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["FAULTS", "UNPACKERS", "unpack", "zstd"]

MOST_MEMORY = 80 << 20
"""For an xz dictionary; the usual at level 9 is 65 MiB."""
_MOST_WINDOW = 27
"""For zstd: 2 to this power bytes, the most that its own tool takes unasked."""
FAULTS = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zstd.ZstdError)
"""What an unpacker says of bytes that are not what it unpacks."""


class Unpacker(Protocol):
    """What the decompressors of the standard library have in common."""

    @property
    def eof(self) -> bool:
        """Whether this stream has ended."""

    @property
    def needs_input(self) -> bool:
        """Whether there is no more without more input."""

    @property
    def unused_data(self) -> bytes:
        """What came after its end."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """What more `data` unpacks to, and what there was left before."""


class _Gzip:
    """zlib's decompressor, with the manners of the others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(31)
        self._full = False

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._full and not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        found = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self._full = len(found) == max_length and not self._inner.eof
        return found


def _zstd() -> Unpacker:
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _MOST_WINDOW}
    return zstd.ZstdDecompressor(options=options)


UNPACKERS: Mapping[str, Callable[[], Unpacker]] = {
    "gzip": _Gzip,
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, MOST_MEMORY),
    "zstd": _zstd,
}
"""What can be unpacked."""


def unpack(compression: str, blocks: Iterable[bytes], piece: int) -> Iterator[bytes]:
    """What the blocks unpack to, at most `piece` bytes at a time.

    Raises:
        CompressionRefused: they are damaged or cut short, or would take too much memory.
    """
    unpacker = UNPACKERS[compression]()
    fresh = True
    for block in blocks:
        data = block
        while True:
            try:
                found = unpacker.decompress(data, piece)
            except FAULTS as fault:
                raise CompressionRefused(f"The {compression} data is damaged: {fault}") from None
            if data or found:
                fresh = False
            if found:
                yield found
            data = b""
            if unpacker.eof:
                data = unpacker.unused_data.lstrip(b"\0")
                unpacker, fresh = UNPACKERS[compression](), True
                if not data:
                    break
            elif unpacker.needs_input:
                break
    if not fresh:
        raise CompressionRefused(f"The {compression} data is cut short")
