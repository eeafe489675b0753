"""The Range header of a download (RFC 9110, section 14), as far as image data is served by it."""

import re

from msgspec import Struct

from kilo_catalog.errors import RangeMalformed, RangeUnsatisfiable

_ONE = re.compile(r"\s*bytes\s*=\s*(\d{0,19})\s*-\s*(\d{0,19})\s*", re.ASCII | re.IGNORECASE)


class ByteRange(Struct, frozen=True):
    """A part of some bytes, at least one."""

    offset: int
    length: int

    def content_range(self, size: int) -> str:
        """The Content-Range header's value."""
        return f"bytes {self.offset}-{self.offset + self.length - 1}/{size}"


def parse_range(text: str, size: int) -> ByteRange:
    """The part of `size` bytes that a Range header asks for.

    Raises:
        RangeMalformed: it asks for several parts.
        RangeUnsatisfiable: none of them exists, or it is no range.
    """
    if "," in text:
        raise RangeMalformed("Only one range can be served per request")
    match = _ONE.fullmatch(text)
    if match is None or not (match[1] or match[2]):
        raise _unsatisfiable(size)
    if not match[1]:
        offset, end = max(0, size - int(match[2])), size
    else:
        offset = int(match[1])
        end = min(size, int(match[2]) + 1) if match[2] else size
    if offset >= end:
        raise _unsatisfiable(size)
    return ByteRange(offset, end - offset)


def _unsatisfiable(size: int) -> RangeUnsatisfiable:
    return RangeUnsatisfiable(
        f"The image has {size} bytes; there is no such range in it",
        size=size,
        headers={"Content-Range": f"bytes */{size}"},
    )
