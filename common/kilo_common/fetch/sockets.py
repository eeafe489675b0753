"""A connection to one checked address, whose every wait ends: by silence, or by the deadline."""

import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

Monotonic = Callable[[], float]


class TimedSocket:
    """A connected socket; it stays open until `shut`."""

    def __init__(self, inner: socket.socket, idle: float, deadline: float) -> None:
        self._inner = inner
        self._idle = idle
        self._deadline = deadline

    def renew(self, deadline: float) -> None:
        """Give the next request its own deadline."""
        self._deadline = deadline

    def sendall(self, data: Any) -> None:
        """Send everything, or raise TimeoutError."""
        self.limit()
        self._inner.sendall(data)

    def recv_into(self, buffer: Any) -> int:
        """Receive what there is, or raise TimeoutError."""
        self.limit()
        return self._inner.recv_into(buffer)

    def interrupt(self) -> None:
        """Have whoever waits for it in another thread find it at its end."""
        with contextlib.suppress(OSError):
            # Beneath TLS: that layer is the other thread's.
            socket.socket.shutdown(self._inner, socket.SHUT_RDWR)

    def shut(self) -> None:
        """Close it."""
        self._inner.close()

    def limit(self) -> None:
        """Let the next wait end in time."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("it takes longer than a request may")
        self._inner.settimeout(min(self._idle, left))

    def secure(self, context: ssl.SSLContext, host: str) -> None:
        """Speak TLS from now on, with a server that can prove to be `host`."""
        self.limit()
        self._inner = context.wrap_socket(self._inner, server_hostname=host)


def dial(address: str, port: int, timeout: float, idle: float, deadline: float) -> TimedSocket:
    """Connect to an address. Raises OSError."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("it takes longer than a request may")
    inner = socket.create_connection((address, port), timeout=min(timeout, left))
    return TimedSocket(inner, idle, deadline)
