"""How a thread waits for what a socket hears: blocked in ZeroMQ, or as a greenlet on its fd.

pyzmq's green sockets arm a timer and raise two exceptions for each wait; here a wait costs a
watcher, and reading what is there already costs nothing beside it.
"""

import importlib
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

import zmq

_NOBLOCK = int(zmq.NOBLOCK)
_READABLE = int(zmq.POLLIN)
_EVENTS = int(zmq.EVENTS)


def is_green() -> bool:
    """Whether this process runs on gevent's sockets."""
    return socket.socket.__module__.startswith("gevent")


def breather() -> Callable[[], None]:
    """What lets other greenlets run now; threads run anyway."""
    if not is_green():
        return lambda: None
    return lambda: time.sleep(0)


class Ear(ABC):
    """The one reader of a socket that nobody else reads, and that only hears."""

    def __init__(self, sock: "zmq.Socket[bytes]") -> None:
        self._socket = sock

    @abstractmethod
    def next(self) -> list[bytes]:
        """The parts of the next message, once there is one."""

    @abstractmethod
    def close(self) -> None:
        """Hear nothing more; the socket is closed after it."""

    def more(self) -> list[bytes] | None:
        """The parts of a message that is there already."""
        # Asking costs half of what being refused does.
        if not int(self._socket.get(_EVENTS)) & _READABLE:
            return None
        return self._socket.recv_multipart(_NOBLOCK)


class BlockingEar(Ear):
    """Blocks the thread."""

    def next(self) -> list[bytes]:
        return self._socket.recv_multipart()

    def close(self) -> None:
        pass


def open_ear(sock: "zmq.Socket[bytes]") -> Ear:
    """The reader that holds up nobody but the thread, or the greenlet, which calls it."""
    if not is_green():
        return BlockingEar(sock)
    # Only here, where gevent is in use anyway.
    ear: Ear = importlib.import_module("kilo_common.bus.zmq_transport.green").GreenEar(sock)
    return ear
