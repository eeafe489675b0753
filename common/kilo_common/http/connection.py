"""One connection of a client: request after request, until either side has had enough.

There are no timers here: a connection says until when it waits for what (`deadline`), and the
server's watch ends the waiting by shutting the socket, which wakes whoever reads or writes it.
"""

import contextlib
import logging
import os
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

import msgspec

from kilo_common.http.gateway import WSGIApplication
from kilo_common.http.head import (
    MAX_HEAD,
    Head,
    HeadInvalid,
    HeadParser,
    HeadTooLarge,
    split_target,
)
from kilo_common.http.inbound import ChunkedBody, FramingBroken, InboundBody
from kilo_common.http.outbound import DateLine, FileBody, Outbound
from kilo_common.http.upgrade import ENDING_KEY, TAKEOVER_KEY, UpgradeUnsupported

log = logging.getLogger("kilo.http.server")
RECEIVE = 65536
DRAIN_LIMIT = 4 * 1024 * 1024
"""Bytes of an unread request body that are read and dropped so that the client sees our answer."""
LINGER, LINGER_DEAF = 1.0, 0.2
"""Seconds that a client has to read why its connection ends, while what it sends is dropped."""
SEND_FILE = 1 << 20
_NEVER = float("inf")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class HeadTimeout(HeadInvalid):
    """The head of a request took too long to arrive."""

    code = "http.head_timeout"
    status = HTTPStatus.REQUEST_TIMEOUT


class Phase(Enum):
    """What a connection waits for."""

    IDLE = auto()
    """A request; there is none in hand."""
    HEAD = auto()
    """The rest of a request's head."""
    WORK = auto()
    """The application."""
    BODY = auto()
    """More of the request's body."""
    SEND = auto()
    """The client, to take the answer."""
    TAKEN = auto()
    """Nothing: the application has the socket."""


class Limits(msgspec.Struct, frozen=True):
    """How long clients may take, in seconds."""

    idle: float
    """For any step of a transfer, and between two requests."""
    head: float
    """For a whole head, from its first byte."""


@dataclass(frozen=True)
class Shop:
    """What all connections of one server have in common."""

    app: WSGIApplication
    environ: dict[str, Any]
    """The WSGI environment, as far as it is the same for every request."""
    limits: Limits
    ending: Callable[[], bool]
    """Whether the server is about to stop."""
    parser: HeadParser = field(default_factory=HeadParser)
    date: DateLine = field(default_factory=DateLine)


class Connection:
    """Serves one client."""

    def __init__(self, sock: socket.socket, peer: tuple[str, int], shop: Shop) -> None:
        self.socket = sock
        self._shop = shop
        self._environ = {
            **shop.environ,
            "REMOTE_ADDR": peer[0],
            "REMOTE_PORT": str(peer[1]),
            TAKEOVER_KEY: self._take_over,
            ENDING_KEY: shop.ending,
        }
        self._limits = shop.limits
        self._ending = shop.ending
        self._buffer = b""
        self._ended = False
        self._expired = False
        self.phase = Phase.IDLE
        self.deadline = _NEVER

    def serve(self) -> None:
        """Answer requests until the connection ends; closes the socket."""
        self._wait_for(Phase.IDLE, self._limits.idle)
        try:
            while self._serve_one():
                time.sleep(0)  # who asks again at once must not keep others waiting
        except OSError:
            log.debug("a client has gone", exc_info=True)
        except Exception:  # an edge: no connection may end the server
            log.exception("a connection failed")
        finally:
            self._wait_for(Phase.WORK, _NEVER)
            self.socket.close()

    def expire(self) -> None:
        """Wake who waits: the time is up, or the server ends. From any greenlet."""
        self._expired = True
        both = self.phase is Phase.SEND
        with contextlib.suppress(OSError):  # the client may be gone already
            self.socket.shutdown(socket.SHUT_RDWR if both else socket.SHUT_RD)

    def _serve_one(self) -> bool:
        """Answer one request; whether there may be another."""
        try:
            data = self._read_head()
            if not data:
                return False
            head = self._shop.parser.parse(data)
            environ = self._environ.copy()
            environ["PATH_INFO"], environ["QUERY_STRING"] = split_target(head.target)
        except HeadInvalid as fault:
            self._refuse(fault)
            return False
        body = self._body_of(head)
        environ["REQUEST_METHOD"] = head.method
        environ["SERVER_PROTOCOL"] = "HTTP/1.1" if head.v11 else "HTTP/1.0"
        environ["wsgi.input"] = body
        environ.update(head.fields)
        outbound = Outbound(
            self._send,
            self._shop.date,
            head.method,
            v11=head.v11,
            keep_alive=head.keep_alive and not self._ending(),
        )
        self._wait_for(Phase.WORK, _NEVER)
        whole = self._run(environ, outbound)
        if self.phase is Phase.TAKEN or not whole:
            return False
        return self._finish(body, keep_alive=outbound.keep_alive)

    def _run(self, environ: dict[str, Any], outbound: Outbound) -> bool:
        """Have the application answer; whether the answer is whole."""
        result = None
        try:
            result = self._shop.app(environ, outbound.start)
            if self.phase is Phase.TAKEN:
                return False
            if isinstance(result, FileBody):
                self._send_file(result, outbound)
            else:
                outbound.send_all(result)
            return True
        except OSError:
            log.debug("a client has gone", exc_info=True)
            return False
        except Exception:  # an edge: the client gets an answer, and the next one is served
            log.exception("%s %s failed", environ["REQUEST_METHOD"], environ["PATH_INFO"])
            return outbound.send_failure()
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    def _finish(self, body: InboundBody, *, keep_alive: bool) -> bool:
        """Drop what was not read of the request; whether the connection can go on."""
        if body.unread and not body.unasked:
            self._drain(body)
        if keep_alive and not (body.unread or body.broken or self._ended):
            self._wait_for(Phase.IDLE, self._limits.idle)
            return True
        self._linger()
        return False

    def _drain(self, body: InboundBody) -> None:
        """Read and drop the rest of the body, up to a limit."""
        left = DRAIN_LIMIT
        while left > 0 and (piece := body.read(min(left, RECEIVE))):
            left -= len(piece)

    def _linger(self) -> None:
        """Let the client read our last words.

        To close a socket with unread input resets the connection, and the client would never see
        why it was closed.
        """
        if self._expired:
            time.sleep(LINGER_DEAF)  # its input is shut: there is no seeing whether it has read
            return
        if self._ended:
            return
        end = time.monotonic() + LINGER
        self._wait_for(Phase.BODY, LINGER)
        left = DRAIN_LIMIT
        self.socket.shutdown(socket.SHUT_WR)
        while left > 0 and (piece := self._receive(RECEIVE)) and time.monotonic() < end:
            left -= len(piece)

    def _refuse(self, fault: HeadInvalid) -> None:
        """Say what is wrong with what arrived, and end."""
        title = fault.status.phrase
        told = {"code": fault.code, "title": title, "description": fault.message}
        text = msgspec.json.encode(told)
        self._send(
            f"HTTP/1.1 {fault.status.value} {title}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n".encode()
            + text
        )
        self._linger()

    def _body_of(self, head: Head) -> InboundBody:
        if head.chunked:
            return ChunkedBody(self, continues=head.continues)
        return InboundBody(self, head.length, continues=head.continues)

    def _take_over(self) -> socket.socket:
        """Give the socket to the application: from now on we neither read nor write."""
        if self._buffer:
            raise UpgradeUnsupported("Nothing may be sent before the upgrade is answered")
        self.deadline, self.phase = _NEVER, Phase.TAKEN
        return self.socket

    # What bodies read from.

    def read_some(self, size: int) -> bytes:
        """As `Source` says."""
        if self._buffer:
            piece, self._buffer = self._buffer[:size], self._buffer[size:]
            return piece
        return self._receive_body(size)

    def read_into(self, view: memoryview) -> int:
        """As `Source` says."""
        if self._buffer:
            piece = self.read_some(len(view))
            view[: len(piece)] = piece
            return len(piece)
        self._wait_for(Phase.BODY, self._limits.idle)
        try:
            count = self.socket.recv_into(view)
        except OSError:
            if not self._expired:
                raise
            count = 0
        self._wait_for(Phase.WORK, _NEVER)
        if not count:
            self._ended = True
        return count

    def read_line(self, limit: int) -> bytes:
        """As `Source` says."""
        while (end := self._buffer.find(b"\n", 0, limit)) < 0:
            if len(self._buffer) >= limit:
                raise FramingBroken(f"there is no end of the line within {limit} bytes")
            piece = self._receive_body(RECEIVE)
            if not piece:
                line, self._buffer = self._buffer, b""
                return line
            self._buffer += piece
        line, self._buffer = self._buffer[: end + 1], self._buffer[end + 1 :]
        return line

    def _receive_body(self, size: int) -> bytes:
        self._wait_for(Phase.BODY, self._limits.idle)
        piece = self._receive(size)
        self._wait_for(Phase.WORK, _NEVER)
        return piece

    def _receive(self, size: int) -> bytes:
        """What there is, at most `size` bytes; none at the end, or if the time is up."""
        try:
            piece = self.socket.recv(size)
        except OSError:
            if not self._expired:  # gevent raises in who waits on a socket that is shut
                raise
            piece = b""
        if not piece:
            self._ended = True
        return piece

    def send_continue(self) -> None:
        """As `Source` says."""
        if not self._buffer:
            self._send(_CONTINUE)

    def _read_head(self) -> bytes:
        """Everything up to the empty line; nothing where no request comes any more."""
        data, self._buffer = self._buffer, b""
        began = False
        while True:
            if data[:2] == b"\r\n":  # some clients send one behind a body (RFC 9112, section 2.2)
                data = data.lstrip(b"\r\n")
            end = data.find(b"\r\n\r\n")
            if end >= 0 or b"\n\n" in data:
                break
            if len(data) > MAX_HEAD:
                raise HeadTooLarge(f"A request's head may have at most {MAX_HEAD} bytes")
            if self._ended or (self._ending() and not data):
                return b""
            if data and not began:
                began = True
                self._wait_for(Phase.HEAD, self._limits.head)
            piece = self._receive(RECEIVE)
            if not piece:
                if data and self._expired:
                    raise HeadTimeout(f"The head was not here within {self._limits.head:g} s")
                return b""
            data = data + piece if data else piece
        if end < 0:
            return data  # it ends with bare line feeds; the parser says what is wrong
        if end > MAX_HEAD:
            raise HeadTooLarge(f"A request's head may have at most {MAX_HEAD} bytes")
        if len(data) > end + 4:
            self._buffer = data[end + 4 :]
            return data[: end + 4]
        return data

    def _send(self, data: bytes) -> None:
        """Send all of it; the client has the time for each piece that it takes."""
        self._wait_for(Phase.SEND, self._limits.idle)
        sent = self.socket.send(data)
        if sent < len(data):
            view = memoryview(data)
            while sent < len(data):
                self._wait_for(Phase.SEND, self._limits.idle)
                sent += self.socket.send(view[sent:])
        self._wait_for(Phase.WORK, _NEVER)

    def _send_file(self, body: FileBody, outbound: Outbound) -> None:
        """Send a stretch of a file without its bytes passing through here."""
        outbound.send_head(body.length)
        if not outbound.has_body:
            return
        ours, theirs = self.socket.fileno(), body.file.fileno()
        offset, left = body.offset, body.length
        while left > 0:
            self._wait_for(Phase.SEND, self._limits.idle)
            try:
                sent = os.sendfile(ours, theirs, offset, min(left, SEND_FILE))
            except BlockingIOError:
                select.select([], [ours], [])
                continue
            if not sent:
                raise FramingBroken("the file is shorter than it was")
            offset, left = offset + sent, left - sent
            body.sent(sent)
        self._wait_for(Phase.WORK, _NEVER)

    def _wait_for(self, phase: Phase, seconds: float) -> None:
        if self.phase is not Phase.TAKEN:
            self.phase = phase
            self.deadline = time.monotonic() + seconds if seconds < _NEVER else _NEVER
