"""`wsgi.input`: the body of one request, read from its connection as the application asks for it.

Either kind ends for good at the end of the body; what arrives behind it belongs to the next
request. A body whose framing breaks raises `OSError`, and an early end is an early end: `body.py`
tells it from the whole.
"""

from collections.abc import Iterator
from typing import Protocol

MAX_CHUNK_LINE = 256
MAX_TRAILERS = 8192


class Source(Protocol):
    """The connection below."""

    def read_some(self, size: int) -> bytes:
        """At least one and at most `size` bytes; none at the end of the connection."""
        ...

    def read_into(self, view: memoryview) -> int:
        """Fill the beginning of `view`; how many bytes, 0 at the end of the connection."""
        ...

    def read_line(self, limit: int) -> bytes:
        """Up to and with the next line feed; shorter at the end of the connection.

        Raises:
            FramingBroken: there is none within `limit` bytes.
        """
        ...

    def send_continue(self) -> None:
        """Tell the client that its body is wanted."""
        ...


class FramingBroken(OSError):
    """The body is not framed as HTTP/1.1 says."""


class InboundBody:
    """A body of a known length; the base of the other kind."""

    def __init__(self, source: Source, length: int, *, continues: bool) -> None:
        self._source = source
        self._left = length
        self._continues = continues
        self.broken = False
        """Nobody can tell where the next request begins."""

    @property
    def unread(self) -> bool:
        """Whether some of it may still come."""
        return self._left > 0

    @property
    def unasked(self) -> bool:
        """Whether the client waits with the body until it is asked for it."""
        return self._continues and self._left > 0

    def _some(self, size: int) -> bytes:
        """Between one byte and `size`; none at the end."""
        if self._left <= 0:
            return b""
        self._ask()
        piece = self._source.read_some(min(size, self._left))
        self._left = self._left - len(piece) if piece else 0
        return piece

    def readinto(self, view: memoryview) -> int:
        """Fill the beginning of `view`, as much as there is at once; 0 at the end."""
        if self._left <= 0:
            return 0
        self._ask()
        count = self._source.read_into(view[: self._left])
        self._left = self._left - count if count else 0
        return count

    def _ask(self) -> None:
        if self._continues:
            self._continues = False
            self._source.send_continue()

    def read(self, size: int | None = -1) -> bytes:
        """So many bytes, fewer only at the end; all that is left for None or -1."""
        wanted = -1 if size is None else size
        piece = self._some(1 << 20 if wanted < 0 else wanted) if wanted else b""
        if len(piece) == wanted or not piece:
            return piece
        pieces, count = [piece], len(piece)
        while wanted < 0 or count < wanted:
            piece = self._some(1 << 20 if wanted < 0 else wanted - count)
            if not piece:
                break
            pieces.append(piece)
            count += len(piece)
        return b"".join(pieces)

    def readline(self, size: int | None = -1) -> bytes:
        """A line with its end, or `size` bytes of it."""
        wanted = -1 if size is None else size
        line = bytearray()
        while wanted < 0 or len(line) < wanted:
            piece = self._some(1)
            line += piece
            if not piece or piece == b"\n":
                break
        return bytes(line)

    def readlines(self, hint: int | None = None) -> list[bytes]:
        """The lines that are left; `hint` bytes of them are enough."""
        lines: list[bytes] = []
        count = 0
        for line in self:
            lines.append(line)
            count += len(line)
            if hint and count >= hint:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line


class ChunkedBody(InboundBody):
    """A body in chunks (RFC 9112, section 7.1)."""

    def __init__(self, source: Source, *, continues: bool) -> None:
        super().__init__(source, 0, continues=continues)
        self._over = False
        self._first = True

    @property
    def unread(self) -> bool:
        return not self._over

    @property
    def unasked(self) -> bool:
        return self._continues and not self._over

    def _some(self, size: int) -> bytes:
        if not self._next_chunk():
            return b""
        piece = self._source.read_some(min(size, self._left))
        return piece if self._took(len(piece)) else b""

    def readinto(self, view: memoryview) -> int:
        if not self._next_chunk():
            return 0
        count = self._source.read_into(view[: self._left])
        return count if self._took(count) else 0

    def _took(self, count: int) -> bool:
        if not count:
            raise self._broken("the connection ended within a chunk")
        self._left -= count
        return True

    def _next_chunk(self) -> bool:
        """Whether there is a chunk to read from; the trailers are dropped behind the last."""
        if self._left:
            return True
        if self._over:
            return False
        self._ask()
        if not self._first and self._source.read_line(2) != b"\r\n":
            raise self._broken("a chunk is longer than it says")
        self._first = False
        self._left = self._size(self._source.read_line(MAX_CHUNK_LINE))
        if self._left == 0:
            self._drop_trailers()
            self._over = True
        return self._left > 0

    def _size(self, line: bytes) -> int:
        text, _semicolon, _extension = line[:-2].partition(b";")
        digits = text.rstrip(b" \t")
        # int() would take signs, underscores and spaces as well.
        if not line.endswith(b"\r\n") or not digits or digits.strip(b"0123456789abcdefABCDEF"):
            raise self._broken("a chunk does not begin with its size")
        if len(digits) > 15:
            raise self._broken("a chunk is larger than anything")
        return int(digits, 16)

    def _drop_trailers(self) -> None:
        left = MAX_TRAILERS
        while (line := self._source.read_line(left)) != b"\r\n":
            left -= len(line)
            if not line.endswith(b"\r\n") or left <= 0:
                raise self._broken("the trailers do not end")

    def _broken(self, reason: str) -> FramingBroken:
        self._over, self._left, self.broken = True, 0, True
        return FramingBroken(f"the chunked body is broken: {reason}")
