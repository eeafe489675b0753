"""Which zmq to wait with: the green one where gevent has patched the sockets, or the plain one."""

import importlib
import socket
import time
from collections.abc import Callable
from types import ModuleType


def is_green() -> bool:
    """Whether this process runs on gevent's sockets."""
    return socket.socket.__module__.startswith("gevent")


def waiting_zmq() -> ModuleType:
    """The module whose sockets block only the thread, or only the greenlet, that waits."""
    return importlib.import_module("zmq.green" if is_green() else "zmq")


def breather() -> Callable[[], None]:
    """What lets other greenlets run now; threads run anyway."""
    if not is_green():
        return lambda: None
    return lambda: time.sleep(0)
