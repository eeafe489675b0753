"""One request and its answer in HTTP/1.1 (RFC 9112), parsed by llhttp."""

import re
from collections.abc import Mapping

import httptools

from kilo_common.fetch.errors import FetchFailed
from kilo_common.fetch.guard import Target
from kilo_common.fetch.sockets import TimedSocket

AGENT = "kilostack"
MAX_HEAD = 65536
"""Bytes of an answer before its body."""
MAX_FIELDS = 100
"""Headers of an answer."""
_PIECE = 1 << 18
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BREAKS = re.compile(r"[\r\n\0]")
_SENDS = frozenset({"POST", "PUT", "PATCH"})


class Broken(Exception):
    """The connection is of no more use. `silent`: it was so before any byte of an answer came."""

    def __init__(self, reason: str, *, silent: bool = False) -> None:
        super().__init__(reason)
        self.silent = silent


class Answer:
    """An answer as it arrives: its head first, then its body bit by bit."""

    def __init__(self, connection: TimedSocket, method: str) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        """By name in lower case; what is given several times is joined by a comma."""
        self.chunked = False
        self.complete = False
        """Nothing follows."""
        self._connection = connection
        self._method = method
        self._parser = httptools.HttpResponseParser(self)
        self._headed = False
        self._bytes = 0
        self._pieces: list[bytes] = []
        self._fields = 0
        self._head_bytes = 0
        self._keep = False
        self._extra = False
        """Whether something came after the end."""

    @property
    def length(self) -> int | None:
        """Bytes of the body, if the head says so."""
        if self._method == "HEAD" or self.status in (204, 304):
            return 0
        text = self.headers.get("content-length", "")
        return int(text) if text.isdecimal() and not self.chunked else None

    @property
    def silent(self) -> bool:
        """Whether nothing has come yet."""
        return not self._bytes

    @property
    def reusable(self) -> bool:
        """Whether the connection may carry another request."""
        return self.complete and self._keep and not self._extra

    def read_head(self) -> None:
        """Wait for the head.

        Raises:
            Broken: what comes is not one.
        """
        buffer = bytearray(16384)
        while not self._headed:
            self._feed(buffer)
            if (
                self._fields > MAX_FIELDS
                or self._head_bytes > MAX_HEAD
                or (not self._headed and self._bytes > MAX_HEAD)
            ):
                raise Broken("it has more headers than anybody needs")
        if self._method == "HEAD":
            self.complete = True

    def read(self, size: int) -> bytes:
        """The next bytes of the body, at most `size`; empty at its end.

        Raises:
            Broken: it ends too early, or is garbled.
        """
        buffer: bytearray | None = None
        while not self._pieces and not self.complete:
            buffer = buffer or bytearray(min(size, _PIECE))
            self._feed(buffer)
        if not self._pieces:
            return b""
        piece = self._pieces[0]
        if len(piece) <= size:
            del self._pieces[0]
            return piece
        self._pieces[0] = piece[size:]
        return piece[:size]

    def _feed(self, buffer: bytearray) -> None:
        count = self._connection.recv_into(buffer)
        if not count:
            self._end()
            return
        self._bytes += count
        try:
            self._parser.feed_data(memoryview(buffer)[:count])
        except httptools.HttpParserUpgrade:
            raise Broken("it wants to speak another protocol") from None
        except httptools.HttpParserError as fault:
            if not self.complete:
                raise Broken(f"it does not speak HTTP: {fault}") from None
            self._extra = True

    def _end(self) -> None:
        """The other side has closed the connection."""
        if not self._headed:
            raise Broken("it closes the connection", silent=self.silent)
        if self.chunked or self.length is not None:
            raise Broken("it closes the connection before the end")
        self.complete = True
        self._extra = True

    # What llhttp calls.

    def on_message_begin(self) -> None:
        if self.complete:
            self._extra = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._headed:
            self._fields += 1
            self._head_bytes += len(name) + len(value)
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            before = self.headers.get(key)
            self.headers[key] = text if before is None else f"{before}, {text}"

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200 and status != 101:
            self.headers.clear()  # an interim answer; the one that counts follows
            return
        if not self._headed:
            self.status = status
            self.chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
            self._headed = True

    def on_body(self, data: bytes) -> None:
        if not self.complete:
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        if self._headed:
            self.complete = True
            self._keep = bool(self._parser.should_keep_alive())


def send(
    connection: TimedSocket,
    method: str,
    target: Target,
    headers: Mapping[str, str],
    body: bytes | None,
    *,
    keep: bool,
) -> None:
    """Send a request; with `keep` the connection is to last.

    Raises:
        FetchFailed: a header cannot be sent.
        OSError: the connection is broken.
    """
    lines = [f"{method} {target.path} HTTP/1.1", f"Host: {target.host_header}"]
    if not keep:
        lines.append("Connection: close")
    lines.append("Accept-Encoding: identity")
    if not any(name.lower() == "user-agent" for name in headers):
        lines.append(f"User-Agent: {AGENT}")
    if body is not None or method in _SENDS:
        lines.append(f"Content-Length: {len(body or b'')}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if not all(map(_TOKEN.fullmatch, headers)) or any(map(_BREAKS.search, lines)):
        raise FetchFailed("A header has a name or a line break that HTTP does not know")
    try:
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    except UnicodeEncodeError:
        raise FetchFailed("A header has characters that HTTP does not know") from None
    connection.sendall(head + body if body else head)
