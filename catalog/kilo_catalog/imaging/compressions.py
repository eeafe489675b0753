"""Compressed files: which compression, and, as far as the first bytes tell, of what."""

from kilo_catalog.imaging.packed import FAULTS, UNPACKERS
from kilo_catalog.imaging.scan import HEAD, Sheet
from kilo_catalog.imaging.signatures import recognise


def parse_compressed(sheet: Sheet, head: bytes) -> None:
    """Write down the compression and the format inside it."""
    sheet.facts["compression"] = sheet.format
    content = peek(sheet.format, head)
    if content:
        sheet.facts["content"] = recognise(content)


def peek(compression: str, head: bytes) -> bytes:
    """What the first bytes unpack to, HEAD of it at most; nothing where we cannot tell."""
    unpacker = UNPACKERS.get(compression)
    if unpacker is None:
        return b""
    try:
        return unpacker().decompress(head, HEAD)
    except FAULTS:
        return b""
