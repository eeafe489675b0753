"""The embedded HTTP server: gevent's pywsgi with what it lacks. Only start files use it.

TCP_NODELAY is set on the listening socket (accepted sockets inherit it): without it a keep-alive
answer waits for the client's delayed acknowledgement, about 40 ms.
"""

import contextlib
import errno
import logging
import socket
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from gevent import pywsgi
from gevent.pool import Pool

from kilo_common.errors import ConfigInvalid
from kilo_common.http.gateway import WSGIApplication
from kilo_common.http.upgrade import ENDING_KEY, TAKEOVER_KEY

log = logging.getLogger(__name__)
BACKLOG = 1024
IDLE_TIMEOUT = 120.0
"""Seconds that a client may neither send what it began nor read what it asked for."""
DRAIN_LIMIT = 4 * 1024 * 1024
"""Bytes of an unread request body that are read and dropped so that the client sees our answer."""


class ListenFailed(ConfigInvalid):
    """The address cannot be listened on."""

    code = "http.listen_failed"


class HttpServer:
    """Serves one WSGI application on one address, one greenlet a connection."""

    def __init__(
        self,
        app: WSGIApplication,
        host: str,
        port: int,
        *,
        name: str,
        max_connections: int = 10_000,
        idle_timeout: float = IDLE_TIMEOUT,
    ) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._name = name
        self._pool = Pool(max_connections)
        self._idle_timeout = idle_timeout
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """Where the server can be reached; with the real port once it was started on port 0."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    def start(self) -> None:
        """Listen and serve.

        Raises:
            ListenFailed: the port is taken, or the address is not ours.
        """
        listener = open_listener(self._host, self._port, self._name)
        self._port = listener.getsockname()[1]
        self._server = _Server(
            listener,
            self._app,
            spawn=self._pool,
            log=None,
            error_log=logging.getLogger("kilo.http.server"),
            handler_class=_Handler,
        )
        self._server.idle_timeout = self._idle_timeout
        self._server.start()
        log.debug("%s listens on %s", self._name, self.url)

    def stop(self, timeout: float) -> None:
        """Stop listening, let requests in hand finish for `timeout` seconds, then cut them.

        Connections without a request close at once. Sessions on sockets that were taken over see
        the end of their input, and can say goodbye.
        """
        if self._server is not None:
            self._server.close()
            self._server.end_waiting()
            self._server.stop(timeout=timeout)
            self._server = None


def open_listener(host: str, port: int, name: str) -> socket.socket:
    """A listening socket with TCP_NODELAY.

    Raises:
        ListenFailed: with what to do about it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as fault:
        listener.close()
        raise ListenFailed(_listen_advice(fault, host, port, name), host=host, port=port) from None
    return listener


def _listen_advice(fault: Exception, host: str, port: int, name: str) -> str:
    code = getattr(fault, "errno", None)
    if code == errno.EADDRINUSE:
        return (
            f"Port {port} on {host}, which {name} needs, is taken by another program: stop that "
            "program, or choose other ports (kilostack up --port-offset 100)."
        )
    if code == errno.EACCES:
        return f"Port {port} ({name}) may only be used by root: choose one above 1023."
    return f"{name} cannot listen on {host}:{port}: {fault}"


class _Server(pywsgi.WSGIServer):
    """pywsgi that knows which connections have no request in hand."""

    idle_timeout = IDLE_TIMEOUT
    ending = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.idle: WeakSet[socket.socket] = WeakSet()
        self.taken: WeakSet[socket.socket] = WeakSet()

    def end_waiting(self) -> None:
        """End the input of connections that wait for a request, and of those taken over."""
        self.ending = True
        for waiting in (*self.idle, *self.taken):
            with contextlib.suppress(OSError):  # the client may be gone already
                waiting.shutdown(socket.SHUT_RD)


class _Handler(pywsgi.WSGIHandler):
    """A connection that can hand its socket over, and that does not drain an endless body."""

    server: _Server
    wsgi_input: pywsgi.Input

    def handle(self) -> None:
        self.socket.settimeout(self.server.idle_timeout)
        super().handle()

    def read_requestline(self) -> Any:
        if self.server.ending:
            return ""
        waiting = self.socket
        self.server.idle.add(waiting)
        try:
            return super().read_requestline()
        finally:
            self.server.idle.discard(waiting)

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        given = self.wsgi_input
        self.wsgi_input = environ["wsgi.input"] = _Input(
            given.rfile,
            given.content_length,
            socket=given.socket,
            chunked_input=given.chunked_input,
        )
        self.wsgi_input.drained = self._drain_ended
        environ[TAKEOVER_KEY] = self._take_over
        environ[ENDING_KEY] = lambda: self.server.ending
        return environ

    def log_request(self) -> None:
        """Nothing: the gateway writes the access log, and pywsgi would format its own in vain."""

    def _take_over(self) -> socket.socket:
        """Give the socket to the application: from now on we neither read nor write."""
        self.close_connection = True
        self.wsgi_input.content_length = 0
        self.wsgi_input.chunked_input = False
        taken: socket.socket = self.socket
        taken.settimeout(None)
        self.server.taken.add(taken)
        return taken

    def _drain_ended(self, complete: bool) -> None:
        if not complete:
            self.close_connection = True


class _Input(pywsgi.Input):
    """`wsgi.input` whose unread rest is dropped up to a limit; past it the connection closes."""

    __slots__ = ("drained",)
    drained: Callable[[bool], None]
    _chunked_input_error: bool

    def _discard(self) -> None:
        if self._chunked_input_error:
            self.drained(False)
            return
        self.send_100_continue_enabled = False
        left = DRAIN_LIMIT
        while left > 0:
            if not self.chunked_input and self.position >= (self.content_length or 0):
                return
            piece = self.read(min(left, 65536))
            if not piece:
                self.drained(self.chunked_input)
                return
            left -= len(piece)
        self.drained(False)
