"""Compressed files: which compression, and, as far as the first bytes tell, of what."""

import bz2
import lzma
import zlib

from kilo_catalog.imaging.scan import HEAD, Sheet
from kilo_catalog.imaging.signatures import recognise

_MOST_MEMORY = 80 << 20
"""For an xz dictionary; the usual at level 9 is 65 MiB."""


def parse_compressed(sheet: Sheet, head: bytes) -> None:
    """Write down the compression and the format inside it."""
    sheet.facts["compression"] = sheet.format
    content = peek(sheet.format, head)
    if content:
        sheet.facts["content"] = recognise(content)


def peek(compression: str, head: bytes) -> bytes:
    """What the first bytes unpack to, HEAD of it at most; nothing where we cannot tell."""
    try:
        if compression == "gzip":
            return zlib.decompressobj(31).decompress(head, HEAD)
        if compression == "bzip2":
            return bz2.BZ2Decompressor().decompress(head, HEAD)
        if compression == "xz":
            return lzma.LZMADecompressor(lzma.FORMAT_XZ, _MOST_MEMORY).decompress(head, HEAD)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
        return b""
    return b""
