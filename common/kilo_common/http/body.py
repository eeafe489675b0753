"""Reading request bodies from WSGI: bounded, and never mistaking a cut connection for the end."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec

from kilo_common.errors import InvalidInput, TooLarge

_AT_ONCE = 65536


class BodyTruncated(InvalidInput):
    """The client went away, or broke the framing, before the whole body had arrived."""

    code = "http.body_truncated"


class JsonInvalid(InvalidInput):
    """The body is not the JSON that was expected."""

    code = "http.json_invalid"


class ByteReader(Protocol):
    """What is read from: `wsgi.input`."""

    def read(self, size: int, /) -> bytes: ...


def declared_length(environ: dict[str, Any]) -> int | None:
    """Content-Length, or None when the body is chunked or absent.

    Raises:
        InvalidInput: it is not a number.
    """
    text = environ.get("CONTENT_LENGTH") or ""
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise InvalidInput("Content-Length must be a whole number of bytes", value=text[:64])
    return int(text)


class BodyBlocks:
    """A body in blocks of a size, the last one shorter.

    Blocks that are given back are filled anew: however long the body, it passes through as many
    buffers as its reader holds at a time.
    """

    def __init__(self, environ: dict[str, Any], size: int) -> None:
        """Raises InvalidInput: see `declared_length`."""
        self._source = environ["wsgi.input"]
        self._expected = declared_length(environ)
        self._left = 0 if self._expected is None else self._expected
        self._endless = self._expected is None and _is_chunked(environ)
        self._size = size if self._endless else min(size, self._left)
        self._free: list[memoryview] = []
        self._received = 0

    def __iter__(self) -> Iterator[bytes | memoryview]:
        """The blocks, each once.

        Raises:
            BodyTruncated: it ended early. What was yielded before is then not a whole body.
        """
        while self._endless or self._left:
            with _translated(self._received):
                block = self._next()
            self._received += len(block)
            self._left -= 0 if self._endless else len(block)
            if not block:
                break
            yield block
        _check_whole(self._received, self._expected)

    def give_back(self, block: bytes | memoryview) -> None:
        """Let a block be filled anew: nobody looks at it any more."""
        if isinstance(block, memoryview) and isinstance(block.obj, bytearray):
            self._free.append(memoryview(block.obj))

    def _next(self) -> bytes | memoryview:
        size = self._size if self._endless else min(self._size, self._left)
        if not hasattr(self._source, "readinto"):
            piece: bytes = self._source.read(size)
            return piece
        buffer = self._free.pop() if self._free else memoryview(bytearray(self._size))
        filled = 0
        while filled < size and (count := self._source.readinto(buffer[filled:size])):
            filled += count
        return buffer[:filled]


def iter_body(environ: dict[str, Any], size: int) -> Iterator[bytes]:
    """The body in pieces of at most `size` bytes; nothing is buffered beyond one piece.

    Raises:
        BodyTruncated: it ended early. What was yielded before is then not a whole body.
    """
    source: ByteReader = environ["wsgi.input"]
    expected = declared_length(environ)
    if expected is None and not _is_chunked(environ):
        return
    received = 0
    while expected is None or received < expected:
        wanted = size if expected is None else min(size, expected - received)
        with _translated(received):
            piece = source.read(wanted)
        if not piece:
            break
        received += len(piece)
        yield piece
    _check_whole(received, expected)


def read_body(environ: dict[str, Any], limit: int) -> bytes:
    """The whole body, at most `limit` bytes.

    Raises:
        TooLarge: there is more.
        BodyTruncated: there is less than was announced.
    """
    expected = declared_length(environ)
    if (expected or 0) > limit:
        raise TooLarge(f"The request body may have at most {limit} bytes", limit=limit)
    if expected is not None and expected <= _AT_ONCE:
        return _read_small(environ, expected)
    pieces: list[bytes] = []
    total = 0
    for piece in iter_body(environ, _AT_ONCE):
        total += len(piece)
        if total > limit:
            raise TooLarge(f"The request body may have at most {limit} bytes", limit=limit)
        pieces.append(piece)
    return b"".join(pieces)


def _read_small(environ: dict[str, Any], expected: int) -> bytes:
    """What most requests have, without ado."""
    body = b""
    if expected:
        source: ByteReader = environ["wsgi.input"]
        try:
            body = source.read(expected)
        except (OSError, ValueError) as fault:
            raise _broken_off(fault, 0) from None
    _check_whole(len(body), expected)
    return body


def read_json(environ: dict[str, Any], limit: int) -> Any:
    """The body as JSON values.

    Raises:
        JsonInvalid: it is not JSON, or not UTF-8.
        TooLarge, BodyTruncated: as `read_body`.
    """
    text = read_body(environ, limit)
    if not text.strip():
        raise JsonInvalid("A JSON body is expected, and the request has none")
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise JsonInvalid(f"The request body is not valid JSON: {fault}") from None


@contextmanager
def _translated(received: int) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as fault:
        raise _broken_off(fault, received) from None


def _broken_off(fault: Exception, received: int) -> BodyTruncated:
    return BodyTruncated(f"The request body broke off: {fault}", received=received)


def _check_whole(received: int, expected: int | None) -> None:
    if expected is not None and received < expected:
        raise BodyTruncated(
            f"The request body ended after {received} of {expected} bytes",
            received=received,
            expected=expected,
        )


def _is_chunked(environ: dict[str, Any]) -> bool:
    return "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
