"""Reading request bodies from WSGI: bounded, and never mistaking a cut connection for the end."""

from collections.abc import Iterator
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


def iter_body(environ: dict[str, Any], size: int) -> Iterator[bytes]:
    """The body in pieces of at most `size` bytes; nothing is buffered beyond one piece.

    Raises:
        BodyTruncated: it ended early. What was yielded before is then not a whole body.
    """
    expected = declared_length(environ)
    if expected is None and not _is_chunked(environ):
        return
    received = 0
    while expected is None or received < expected:
        wanted = size if expected is None else min(size, expected - received)
        piece = _read(environ, wanted, received)
        if not piece:
            break
        received += len(piece)
        yield piece
    if expected is not None and received < expected:
        raise _ended_early(received, expected)


def read_body(environ: dict[str, Any], limit: int) -> bytes:
    """The whole body, at most `limit` bytes.

    Raises:
        TooLarge: there is more.
        BodyTruncated: there is less than was announced.
    """
    expected = declared_length(environ)
    if expected is not None and expected <= _AT_ONCE and expected <= limit:
        body = _read(environ, expected, 0) if expected else b""
        if len(body) == expected:
            return body
        raise _ended_early(len(body), expected)
    if (expected or 0) > limit:
        raise TooLarge(f"The request body may have at most {limit} bytes", limit=limit)
    pieces: list[bytes] = []
    total = 0
    for piece in iter_body(environ, _AT_ONCE):
        total += len(piece)
        if total > limit:
            raise TooLarge(f"The request body may have at most {limit} bytes", limit=limit)
        pieces.append(piece)
    return b"".join(pieces)


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


def _read(environ: dict[str, Any], size: int, received: int) -> bytes:
    source: ByteReader = environ["wsgi.input"]
    try:
        return source.read(size)
    except (OSError, ValueError) as fault:
        raise BodyTruncated(f"The request body broke off: {fault}", received=received) from None


def _ended_early(received: int, expected: int) -> BodyTruncated:
    return BodyTruncated(
        f"The request body ended after {received} of {expected} bytes",
        received=received,
        expected=expected,
    )


def _is_chunked(environ: dict[str, Any]) -> bool:
    return "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
