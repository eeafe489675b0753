"""The head of a request as a value: parsed by llhttp, and refused where two readers could differ.

No I/O here. Whatever leaves room for doubt about where a request ends (RFC 9112, section 6.3) is
refused, so that no proxy in front of us can be made to see other requests than we do.
"""

from http import HTTPStatus
from urllib.parse import unquote_to_bytes

import httptools

from kilo_common.errors import InvalidInput

MAX_HEAD = 65536
"""Bytes of the request line and all headers; a token of an identity service may take 16 KiB."""
MAX_TARGET = 8192
"""Bytes of the path with its query."""
MAX_FIELDS = 100
"""Headers of one request."""
_NAMES_KEPT = 512
_ONCE = frozenset({"HTTP_HOST", "CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING", "CONTENT_TYPE"})


class HeadInvalid(InvalidInput):
    """What arrived is not the head of an HTTP/1 request, or one that we do not take."""

    code = "http.head_invalid"
    status = HTTPStatus.BAD_REQUEST


class HeadTooLarge(HeadInvalid):
    """There are more headers, or more bytes in them, than anybody needs."""

    code = "http.head_too_large"
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


class TargetTooLong(HeadInvalid):
    """The path with its query is longer than we take."""

    code = "http.target_too_long"
    status = HTTPStatus.REQUEST_URI_TOO_LONG


class Head:
    """One request without its body."""

    __slots__ = (
        "chunked",
        "continues",
        "fields",
        "keep_alive",
        "length",
        "method",
        "target",
        "v11",
    )

    def __init__(self) -> None:
        self.method = ""
        self.target = b""
        self.fields: dict[str, str] = {}
        """Headers under the names that they have in WSGI's environment."""
        self.v11 = True
        """HTTP/1.1; otherwise 1.0."""
        self.keep_alive = True
        self.length = 0
        """Bytes of the body, unless it is chunked."""
        self.chunked = False
        self.continues = False
        """The client waits for `100 Continue` before it sends the body."""


class HeadParser:
    """Turns bytes up to the empty line into a `Head`. Keeps the names of headers it has seen."""

    def __init__(self) -> None:
        self._names: dict[bytes, str] = {}

    def parse(self, data: bytes) -> Head:
        """The head in `data`, which ends with the first empty line.

        Raises:
            HeadInvalid: it is not one; or too long, or leaves doubt about the body.
        """
        seen = _Seen()
        parser = httptools.HttpRequestParser(seen)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # only tells that there is an Upgrade header; the application decides
        except httptools.HttpParserInvalidMethodError:
            raise HeadInvalid("The request does not begin with a method of HTTP") from None
        except httptools.HttpParserError as fault:
            raise HeadInvalid(f"The request's head cannot be read: {fault}") from None
        if seen.heads != 1 or seen.begun != 1:
            raise HeadInvalid("The request's head cannot be read: where does it end?")
        head = Head()
        head.method = parser.get_method().decode("ascii")
        head.target = seen.target
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise HeadInvalid(f"HTTP/{version} is not spoken here: use HTTP/1.1")
        if len(seen.target) > MAX_TARGET:
            raise TargetTooLong(f"The path and query may have at most {MAX_TARGET} bytes")
        if len(seen.fields) > MAX_FIELDS:
            raise HeadTooLarge(f"A request may have at most {MAX_FIELDS} headers")
        head.v11 = version == "1.1"
        self._take_fields(head, seen.fields)
        _frame(head)
        return head

    def _take_fields(self, head: Head, fields: list[tuple[bytes, bytes]]) -> None:
        taken = head.fields
        names = self._names
        for raw, value in fields:
            name = names.get(raw) or self._name_of(raw)
            if not name:
                continue
            text = value.decode("latin-1")
            if name in taken:
                if name in _ONCE:
                    raise HeadInvalid(f"The header {raw.decode('latin-1')} is given twice")
                separator = "; " if name == "HTTP_COOKIE" else ","
                text = f"{taken[name]}{separator}{text}"
            taken[name] = text

    def _name_of(self, raw: bytes) -> str:
        """The name in WSGI's environment; empty for one that is dropped.

        `X_Roles` and `X-Roles` would be the same there: what a proxy strips under one name must not
        come in under the other.
        """
        text = raw.decode("latin-1").upper()
        name = "" if "_" in text else text.replace("-", "_")
        if name and name not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            name = f"HTTP_{name}"
        if len(self._names) < _NAMES_KEPT:
            self._names[raw] = name
        return name


class _Seen:
    """What the parser tells, as it tells it."""

    __slots__ = ("begun", "fields", "heads", "target")

    def __init__(self) -> None:
        self.begun = 0
        self.heads = 0
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_url(self, piece: bytes) -> None:
        self.target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.heads += 1


def _frame(head: Head) -> None:
    """Find out how the body is framed, and whether another request may follow."""
    fields = head.fields
    if head.v11 and "HTTP_HOST" not in fields:
        raise HeadInvalid("The header Host is missing")
    coding = fields.get("HTTP_TRANSFER_ENCODING")
    if coding is not None:
        if coding.strip().lower() != "chunked" or not head.v11 or "CONTENT_LENGTH" in fields:
            raise HeadInvalid(
                "Transfer-Encoding may only be chunked, in HTTP/1.1, without a Content-Length"
            )
        head.chunked = True
    length = fields.get("CONTENT_LENGTH")
    if length is not None:
        if not (length.isascii() and length.isdigit()):
            raise HeadInvalid("Content-Length must be a whole number of bytes")
        head.length = int(length)
    wanted = fields.get("HTTP_CONNECTION")
    if wanted is None:
        head.keep_alive = head.v11
    else:
        options = {option.strip() for option in wanted.lower().split(",")}
        head.keep_alive = "close" not in options and (head.v11 or "keep-alive" in options)
    expected = fields.get("HTTP_EXPECT")
    head.continues = head.v11 and expected is not None and expected.lower() == "100-continue"


def split_target(target: bytes) -> tuple[str, str]:
    """The path, decoded as WSGI wants it, and the query.

    Raises:
        HeadInvalid: it is neither a path nor a URL.
    """
    if not target.startswith(b"/"):
        scheme, separator, rest = target.partition(b"://")
        if target == b"*":
            return "*", ""
        if not separator or scheme.lower() not in (b"http", b"https"):
            raise HeadInvalid("The request asks neither for a path nor for a URL")
        slash = rest.find(b"/")
        target = rest[slash:] if slash >= 0 else b"/"
    path, _mark, query = target.partition(b"?")
    path = path.partition(b"#")[0]
    if b"%" in path:
        path = unquote_to_bytes(path)
    return path.decode("latin-1"), query.decode("latin-1")
