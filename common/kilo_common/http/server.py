"""The embedded HTTP server: accepts connections and watches over them. Only start files use it.

TCP_NODELAY is set on the listening socket (accepted sockets inherit it): without it a keep-alive
answer waits for the client's delayed acknowledgement, about 40 ms.
"""

import errno
import logging
import socket
import sys
import time
from typing import Any

import gevent
from gevent.pool import Pool

from kilo_common.errors import ConfigInvalid
from kilo_common.http.connection import Connection, Limits, Phase, Shop
from kilo_common.http.gateway import WSGIApplication

log = logging.getLogger(__name__)
BACKLOG = 1024
IDLE_TIMEOUT = 120.0
"""Seconds that a client may neither send what it began nor read what it asked for."""
HEAD_TIMEOUT = 30.0
"""Seconds that the head of a request may take, from its first byte."""
_WATCH = 0.5
_ACCEPT_AGAIN = 0.1


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
        head_timeout: float = HEAD_TIMEOUT,
    ) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._name = name
        self._pool = Pool(max_connections)
        self._limits = Limits(idle_timeout, min(idle_timeout, head_timeout))
        self._connections: set[Connection] = set()
        self._listener: socket.socket | None = None
        self._ending = False
        self._tasks: list[gevent.Greenlet[..., None]] = []

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
        listener = self._listener = open_listener(self._host, self._port, self._name)
        self._port = listener.getsockname()[1]
        self._ending = False
        shop = Shop(self._app, self._environ(), self._limits, lambda: self._ending)
        self._tasks = [gevent.spawn(self._accept, listener, shop), gevent.spawn(self._watch)]
        log.debug("%s listens on %s", self._name, self.url)

    def stop(self, timeout: float) -> None:
        """Stop listening, let requests in hand finish for `timeout` seconds, then cut them.

        Connections without a request close at once. Sessions on sockets that were taken over see
        the end of their input, and can say goodbye.
        """
        if self._listener is None:
            return
        self._ending = True
        gevent.killall(self._tasks)
        self._listener.close()
        self._listener = None
        for connection in tuple(self._connections):
            if connection.phase in (Phase.IDLE, Phase.TAKEN):
                connection.expire()
        self._pool.join(timeout)
        self._pool.kill()

    def _environ(self) -> dict[str, Any]:
        return {
            "GATEWAY_INTERFACE": "CGI/1.1",
            "SERVER_NAME": self._host,
            "SERVER_PORT": str(self._port),
            "SCRIPT_NAME": "",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
        }

    def _accept(self, listener: socket.socket, shop: Shop) -> None:
        while True:
            try:
                sock, peer = listener.accept()
            except OSError as fault:
                # Too many open files, or a client that left already: others must still get in.
                log.warning("%s cannot accept a connection: %s", self._name, fault)
                gevent.sleep(_ACCEPT_AGAIN)
                continue
            self._pool.spawn(self._serve, Connection(sock, peer[:2], shop))

    def _serve(self, connection: Connection) -> None:
        self._connections.add(connection)
        try:
            connection.serve()
        finally:
            self._connections.discard(connection)

    def _watch(self) -> None:
        """Wake the connections whose time is up; they end by themselves."""
        pause = min(_WATCH, self._limits.head / 4)
        while True:
            gevent.sleep(pause)
            now = time.monotonic()
            for connection in tuple(self._connections):
                if connection.deadline <= now:
                    connection.expire()


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
