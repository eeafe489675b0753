"""Waiting for a ZeroMQ socket on gevent's loop. Imported only where gevent has patched."""

import gevent
import zmq

from kilo_common.bus.zmq_transport.sockets import Ear

_READ = 1


class GreenEar(Ear):
    """Lets other greenlets of the thread run while there is nothing to read.

    ZeroMQ's descriptor tells of changes, not of a state: it may be silent although messages wait.
    So the socket is asked before each wait, and after it whether there is one now.
    """

    def __init__(self, sock: "zmq.Socket[bytes]") -> None:
        super().__init__(sock)
        self._hub = gevent.get_hub()
        descriptor = sock.get(zmq.FD)
        assert isinstance(descriptor, int)
        self._watcher = self._hub.loop.io(descriptor, _READ)

    def next(self) -> list[bytes]:
        while (parts := self.more()) is None:
            self._hub.wait(self._watcher)
        return parts

    def close(self) -> None:
        self._watcher.close()
