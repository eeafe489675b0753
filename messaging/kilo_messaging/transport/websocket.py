"""The thin shell around a WebSocket session: a socket, a reader, a writer, and a pulse.

The reader runs in the request's own greenlet, and a writer beside it while the socket does not take
what is sent. Whoever has something to push puts it in a bounded line and never waits. While a
client does not read, its requests are not read either; if that lasts, or if pushes fill the line,
it is disconnected.
"""

import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from websockets.datastructures import Headers
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.protocol import Event, State
from websockets.server import ServerProtocol

from kilo_common.clock import Clock
from kilo_common.errors import Forbidden, InvalidInput
from kilo_common.http.cors import origin_allowed
from kilo_common.http.gateway import Environ, RequestHeaders
from kilo_common.http.upgrade import end_session, take_socket
from kilo_messaging.config import WebSocketSettings
from kilo_messaging.protocol.pipeline import Later, Reply
from kilo_messaging.protocol.session import Form, render
from kilo_messaging.service.connection_subscriptions import PushLine
from kilo_messaging.transport.outbox import Outbox

log = logging.getLogger(__name__)
CHUNK = 262144
"""Bytes read at once: what a client has sent without waiting is then done together."""
GOING_AWAY, TOO_SLOW, FAILED, NOT_KNOWN = 1001, 1013, 1011, 4003
GRACE = 1.0
"""Seconds that a client which is disconnected has to take what is under way."""


@dataclass(frozen=True)
class OpenedSession:
    """A session, as the shell around it needs it."""

    take: Callable[[Sequence[tuple[bytes, Form]]], Iterator[list[Reply] | Later]]
    """Does what messages ask for."""
    answered: Callable[[], None]
    """To be called when answers are in line: what follows from them may come."""
    is_known: Callable[[], bool]
    """Whether the credentials that it rests on are still good."""
    has_room: Callable[[], None]
    """To be called when there is room again for what was offered."""
    push_form: Callable[[], Form]
    close: Callable[[], None]


OpenSession = Callable[[Environ, PushLine], OpenedSession]
"""Begins a session that pushes through the given line."""


class OriginRefused(Forbidden):
    """A page of another site wants to connect."""

    code = "messaging.websocket.origin_refused"


class HandshakeInvalid(InvalidInput):
    """The request does not open a WebSocket as RFC 6455 says."""

    code = "messaging.websocket.handshake_invalid"


class WebSocketServer:
    """Turns a request that asks for an upgrade into a session, and stays until it is over."""

    def __init__(
        self,
        open_session: OpenSession,
        settings: WebSocketSettings,
        clock: Clock,
        origins: tuple[str, ...],
    ) -> None:
        self._open_session = open_session
        self._settings = settings
        self._clock = clock
        self._origins = origins

    def __call__(self, environ: Environ) -> Iterable[bytes]:
        """Serve the request until the connection ends.

        Raises:
            OriginRefused, HandshakeInvalid, UpgradeUnsupported: there is no session.
        """
        host = environ.get("HTTP_HOST", "")
        if not origin_allowed(environ.get("HTTP_ORIGIN"), self._origins, host):
            raise OriginRefused("Pages of this origin may not connect (http.cors_origins)")
        greeting, extensions = self._accept(environ)
        taken = take_socket(environ)
        pump = _Pump(taken, extensions, self._settings, self._clock)
        session = self._open_session(environ, PushLine(pump.deliver, pump.offer))
        try:
            pump.run(greeting, session)
        finally:
            session.close()
        return end_session(environ)

    def _accept(self, environ: Environ) -> tuple[bytes, Sequence[Extension]]:
        """The answer to the handshake, and what the two sides agree on."""
        deflate = [ServerPerMessageDeflateFactory()] if self._settings.deflate else None
        handshake = ServerProtocol(logger=log, extensions=deflate)
        answer = handshake.accept(_handshake(environ))
        if answer.status_code != 101:
            reason = (answer.body or b"").decode(errors="replace").strip()
            raise HandshakeInvalid(reason or "This is not a WebSocket handshake")
        return answer.serialize(), handshake.extensions


class _Pump:
    """Moves frames between one socket and one session."""

    def __init__(
        self,
        taken: socket.socket,
        extensions: Sequence[Extension],
        settings: WebSocketSettings,
        clock: Clock,
    ) -> None:
        self._socket = taken
        # The handshake is over: what comes now are frames.
        self._protocol = ServerProtocol(state=State.OPEN, max_size=settings.max_frame, logger=log)
        self._protocol.extensions = list(extensions)
        self._settings = settings
        self._clock = clock
        self._outbox = Outbox(
            most=settings.send_queue,
            most_bytes=settings.send_queue_bytes,
            try_to_write=self._try_to_write,
            start_writer=self._start_writer,
        )
        # Held while a frame is made and put in line, so that frames keep whole and in order;
        # nothing is waited for under it.
        self._sending = threading.Lock()
        self._heard_at = self._known_at = self._asked_at = clock.monotonic()
        self._push_form: Callable[[], Form] = lambda: Form.TEXT
        self._on_room: Callable[[], None] = lambda: None
        self._partial = bytearray()
        self._partial_form = Form.TEXT
        self._served: threading.Thread | None = None

    def run(self, greeting: bytes, session: OpenedSession) -> None:
        """Send `greeting`, then serve the connection until either side ends it."""
        self._push_form = session.push_form
        self._on_room = session.has_room
        self._socket.settimeout(min(self._settings.ping_interval, self._settings.auth_interval))
        try:
            self._outbox.put(greeting)
            while self._read(session):
                pass
            self._wait_until_served()
            self._outbox.end()
            self._outbox.wait_until_sent(GRACE)
            self._shut(socket.SHUT_WR)
            self._linger()
        finally:
            # From here on nothing is written: the number of the socket may soon be another's.
            self._outbox.end()
            self._shut(socket.SHUT_RDWR)

    def deliver(self, frame: bytes) -> None:
        """Push a frame of JSON; from any greenlet, and without waiting."""
        form = self._push_form()
        if not self._send([Reply(render(frame, form), form)]):
            self._disconnect(TOO_SLOW, "too much is waiting to be read")

    def offer(self, frame: bytes) -> bool:
        """Push a frame of JSON if there is room; else False, and `has_room` is called later."""
        form = self._push_form()
        return self._send([Reply(render(frame, form), form)], offered=True)

    def _read(self, session: OpenedSession) -> bool:
        """Take what the client sent and answer it; whether there may be more."""
        if not (self._has_room() and self._is_known(session)):
            return False
        try:
            data = self._socket.recv(CHUNK)
        except TimeoutError:
            return self._beat()
        except OSError:
            data = b""
        self._heard_at = self._clock.monotonic()
        with self._sending:
            if data:
                self._protocol.receive_data(data)
            elif self._protocol.state is State.OPEN:
                # The client is gone, or this server is stopping: then it sees why.
                self._protocol.fail(GOING_AWAY, "the connection ends")
            events = self._protocol.events_received()
        self._flush()
        messages = [found for event in events if (found := self._message(event)) is not None]
        self._wait_until_served()
        if len(data) * 2 > CHUNK:
            # There is more to come: it is read while this is done, and then its turn comes.
            self._served = threading.Thread(
                target=self._serve, args=(session, messages), name="websocket-serving", daemon=True
            )
            self._served.start()
        elif messages:
            self._serve(session, messages)
        return bool(data) and self._protocol.state is State.OPEN

    def _wait_until_served(self) -> None:
        """Return when what was read before has been done."""
        if self._served is not None:
            self._served.join()
            self._served = None

    def _serve(self, session: OpenedSession, messages: Sequence[tuple[bytes, Form]]) -> None:
        """Do what was asked, and send the answers as they come."""
        try:
            for found in session.take(messages):
                if isinstance(found, Later):
                    self._apart(found)
                elif not (self._has_room() and self._send(found, must=True)):
                    return
                session.answered()
        except Exception:
            log.exception("a WebSocket request failed")
            self._disconnect(FAILED, "something went wrong on our side; the log has it")

    def _apart(self, later: Later) -> None:
        """Send the answer of a request that waits when there is one."""

        def answer() -> None:
            try:
                self._send([later.finish()], must=True)
            except Exception:
                log.exception("a WebSocket request failed")
                self._disconnect(FAILED, "something went wrong on our side; the log has it")

        threading.Thread(target=answer, name="websocket-waiting", daemon=True).start()

    def _message(self, frame: Event) -> tuple[bytes, Form] | None:
        """Collect a message out of its frames; None while it is not whole."""
        if not isinstance(frame, Frame):
            return None
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._partial = bytearray()
            self._partial_form = Form.TEXT if frame.opcode is Opcode.TEXT else Form.BINARY
            if frame.fin:
                return bytes(frame.data), self._partial_form
        elif frame.opcode is not Opcode.CONT:
            return None
        self._partial += frame.data
        if not frame.fin:
            return None
        message, self._partial = bytes(self._partial), bytearray()
        return message, self._partial_form

    def _is_known(self, session: OpenedSession) -> bool:
        """Whether who is served is still who they said; looked at from time to time."""
        now = self._clock.monotonic()
        if now - self._known_at < self._settings.auth_interval:
            return True
        self._known_at = now
        self._wait_until_served()
        if session.is_known():
            return True
        self._disconnect(NOT_KNOWN, "the credentials have ended: connect and authenticate again")
        return False

    def _beat(self) -> bool:
        """Nothing was heard for a while: ask whether somebody is there, or give up."""
        now = self._clock.monotonic()
        if now - self._heard_at >= self._settings.idle_limit:
            self._disconnect(GOING_AWAY, "nothing was heard for too long")
            return False
        if now - max(self._heard_at, self._asked_at) < self._settings.ping_interval * 0.99:
            return True
        self._asked_at = now
        with self._sending:
            if self._protocol.state is not State.OPEN:
                return False
            self._protocol.send_ping(b"")
        self._flush()
        return True

    def _has_room(self) -> bool:
        """Wait until the client has read most of what was sent; False if it does not."""
        if self._outbox.wait_for_room(self._settings.stall_limit):
            return self._protocol.state is State.OPEN
        self._disconnect(TOO_SLOW, "nothing is read")
        return False

    def _send(self, replies: Sequence[Reply], *, must: bool = False, offered: bool = False) -> bool:
        """Put frames in line; False if, but for `must`, there is no room.

        After the end they are dropped, and what was `offered` is refused.
        """
        with self._sending:
            if self._protocol.state is not State.OPEN:
                return not offered
            if offered and not self._outbox.admits():
                return False
            for reply in replies:
                if reply.form is Form.TEXT:
                    self._protocol.send_text(reply.frame)
                else:
                    self._protocol.send_binary(reply.frame)
            return self._enqueue(len(replies), must=must or offered)

    def _flush(self) -> None:
        """Put in line what the protocol itself has to say: pongs, the close."""
        with self._sending:
            self._enqueue(1, must=True)

    def _enqueue(self, frames: int, *, must: bool = False) -> bool:
        pieces = self._protocol.data_to_send()
        data = b"".join(pieces)
        fits = not data or self._outbox.put(data, frames=frames, must=must)
        if b"" in pieces:  # the protocol's sign that nothing more will come
            self._outbox.end()
            return True
        return fits

    def _disconnect(self, code: int, reason: str) -> None:
        """Close the connection from our side, without waiting for the client."""
        with self._sending:
            if self._protocol.state is State.OPEN:
                self._protocol.fail(code, reason)
            last = b"".join(self._protocol.data_to_send())
            self._outbox.end(last, drop=code == TOO_SLOW)
        timer = threading.Timer(GRACE, self._shut, (socket.SHUT_RDWR,))
        timer.daemon = True
        timer.start()

    def _try_to_write(self, data: bytes) -> int:
        if isinstance(self._socket, ssl.SSLSocket):
            return 0  # it must be asked itself, and that may wait
        try:
            # Around the socket's own methods, which wait up to its time limit.
            return os.write(self._socket.fileno(), data)
        except BlockingIOError:
            return 0

    def _start_writer(self) -> None:
        threading.Thread(target=self._write, name="websocket-writer", daemon=True).start()

    def _write(self) -> None:
        try:
            while (taken := self._outbox.take()) is not None:
                data, was_refused = taken
                self._send_all(data)
                if was_refused:
                    self._on_room()
        except OSError:
            self._outbox.end(drop=True)
            while self._outbox.take() is not None:
                pass

    def _send_all(self, data: bytes) -> None:
        """Write to the socket, however slowly the client reads.

        Raises:
            OSError: the connection is gone, or the client read nothing for too long.
        """
        rest, moved_at = memoryview(data), self._clock.monotonic()
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
                moved_at = self._clock.monotonic()
            except TimeoutError:  # the socket's own time limit is the reader's
                if self._clock.monotonic() - moved_at >= self._settings.stall_limit:
                    raise

    def _linger(self) -> None:
        """Drop what the client still sends, for a moment.

        To close a socket with unread input resets the connection, and the client would never see
        why it was closed.
        """
        deadline = self._clock.monotonic() + GRACE
        try:
            self._socket.settimeout(GRACE)
            while self._socket.recv(CHUNK) and self._clock.monotonic() < deadline:
                pass
        except OSError:
            return  # gone, or silent: either way nobody waits any more

    def _shut(self, how: int) -> None:
        try:
            self._socket.shutdown(how)
        except OSError:
            return  # it is shut already


def _handshake(environ: Environ) -> Handshake:
    path = environ.get("PATH_INFO") or "/"
    headers = Headers(RequestHeaders(environ))
    return Handshake(
        path=path,
        headers=headers,
        method=environ["REQUEST_METHOD"],
        protocol=environ.get("SERVER_PROTOCOL", "HTTP/1.1"),
    )
