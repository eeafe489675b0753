"""A TCP proxy that misbehaves on request: to see what a program does when its server does.

    with FaultProxy("127.0.0.1", 5672) as proxy:
        ...            # connect to 127.0.0.1, proxy.port
        proxy.freeze() # from now on nothing passes, and nobody is told

It needs nothing but the standard library, with threads or under gevent.
"""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

CHUNK = 64 * 1024
TICK = 0.05
"""Seconds after which a pump that waits looks whether it is to end."""
Tap = Callable[[bytes], None]


class FaultProxy:
    """Forwards connections on `port` to a server. Faults hold for open connections and new ones."""

    def __init__(
        self, server_host: str, server_port: int, *, port: int = 0, on_sent: Tap | None = None
    ) -> None:
        """Listens on `port` of 127.0.0.1; 0 takes a free one. `on_sent` sees whatever clients send,
        before it is passed on.

        Raises:
            OSError: the port is taken.
        """
        self._server = (server_host, server_port)
        self._on_sent = on_sent
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self._pairs: set[_Pair] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        self._delay = 0.0
        self._rate: float | None = None
        self._refusing = False
        self._closed = False
        threading.Thread(target=self._accept, name="fault-proxy", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def delay(self, seconds: float) -> None:
        """Pass everything on this much later; 0 ends it."""
        self._delay = seconds

    def throttle(self, bytes_per_second: float | None) -> None:
        """Pass no more than this in each direction of each connection; None ends it."""
        self._rate = bytes_per_second

    def freeze(self) -> None:
        """Pass nothing on, and keep every connection open: the other end looks alive."""
        self._flowing.clear()

    def thaw(self) -> None:
        """End `freeze`; what was held back is passed on."""
        self._flowing.set()

    def cut(self) -> None:
        """Reset every open connection, at both ends."""
        for pair in list(self._pairs):
            pair.reset()

    def half_close(self) -> None:
        """Tell every client that the server sends no more; what clients send is still passed on."""
        for pair in list(self._pairs):
            pair.half_close()

    def refuse(self, refusing: bool = True) -> None:
        """Reset new connections as they come."""
        self._refusing = refusing

    def close(self) -> None:
        """End all connections and stop listening."""
        self._closed = True
        self._flowing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = None if self._refusing else socket.create_connection(self._server, 5)
            except OSError:
                server = None
            if server is None:
                _close_by_reset(client)
                client.close()
                continue
            for each in (client, server):
                each.settimeout(TICK)
            pair = _Pair(client, server)
            self._pairs.add(pair)
            for source, sink, tap in ((client, server, self._on_sent), (server, client, None)):
                threading.Thread(
                    target=self._pump, args=(pair, source, sink, tap), daemon=True
                ).start()

    def _pump(
        self, pair: "_Pair", source: socket.socket, sink: socket.socket, tap: Tap | None
    ) -> None:
        with contextlib.suppress(OSError):
            while data := pair.receive(source):
                if tap is not None:
                    tap(data)
                if self._delay:
                    time.sleep(self._delay)
                while not self._flowing.wait(TICK) and not pair.cut:
                    pass
                self._pass_on(pair, data, sink)
            if not pair.cut:
                sink.shutdown(socket.SHUT_WR)
        if pair.ended():
            self._pairs.discard(pair)

    def _pass_on(self, pair: "_Pair", data: bytes, sink: socket.socket) -> None:
        while data:
            rate = self._rate
            if rate is None:
                pair.send(sink, data)
                return
            step = max(1, int(rate / 20))
            pair.send(sink, data[:step])
            data = data[step:]
            time.sleep(min(step, step + len(data)) / rate)


class _Pair:
    """A client's connection and the one to the server that it stands for."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self._client = client
        self._server = server
        self._lock = threading.Lock()
        self._directions = 2
        self.cut = False
        """Nothing passes any more; the pumps end, and the last closes both by reset."""

    def receive(self, source: socket.socket) -> bytes:
        """What comes next; empty at the end. Raises OSError as `recv`."""
        while not self.cut:
            with contextlib.suppress(TimeoutError):
                return source.recv(CHUNK)
        return b""

    def send(self, sink: socket.socket, data: bytes) -> None:
        """Send all of `data`, unless it is cut. Raises OSError as `send`."""
        view = memoryview(data)
        while view and not self.cut:
            with contextlib.suppress(TimeoutError):
                view = view[sink.send(view) :]

    def ended(self) -> bool:
        """One direction is over; whether both are, and then the sockets are closed."""
        with self._lock:
            self._directions -= 1
            over = not self._directions
        if over:
            self._client.close()
            self._server.close()
        return over

    def half_close(self) -> None:
        with contextlib.suppress(OSError):
            self._client.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.cut = True
        for each in (self._client, self._server):
            _close_by_reset(each)
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RD)  # wakes who reads it, and tells the other end nothing


def _close_by_reset(connection: socket.socket) -> None:
    """Let the connection end with RST rather than FIN when it is closed."""
    linger = struct.pack("ii", 1, 0)  # on, for no time
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
