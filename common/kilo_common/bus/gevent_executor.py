"""Greenlets work on deliveries, in a program that did not patch its standard library.

They are greenlets of the thread that calls `start`, whatever thread a driver delivers on. The only
module of the bus, beside a start file, that imports gevent.
"""

from threading import get_ident

import gevent
from gevent.event import Event
from gevent.queue import Queue

from kilo_common.bus.executors import Executor, Handle
from kilo_common.bus.transport import Delivery


class GeventExecutor(Executor):
    """A fixed number of greenlets over one line."""

    def __init__(self, handle: Handle, count: int, name: str) -> None:
        super().__init__(handle, count, name)
        self._greenlets: list[gevent.Greenlet[..., None]] = []

    def start(self) -> None:
        self._line: Queue[Delivery | None] = Queue()
        self._stopping = Event()
        self._home = get_ident()
        self._loop = gevent.get_hub().loop
        self._greenlets = [gevent.spawn(self._work) for _ in range(self._count)]

    def submit(self, delivery: Delivery) -> None:
        if get_ident() == self._home:
            self._line.put(delivery)
        else:
            self._loop.run_callback_threadsafe(self._line.put, delivery)

    def stop(self, timeout: float) -> None:
        self._stopping.set()
        for _greenlet in self._greenlets:
            self._line.put(None)
        gevent.joinall(self._greenlets, timeout=timeout)
        self._greenlets.clear()
        while not self._line.empty():
            delivery = self._line.get()
            if delivery is not None:
                delivery.requeue()

    def pause(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    def run(self) -> None:
        self._stopping.wait()

    def _work(self) -> None:
        while (delivery := self._line.get()) is not None:
            self.work_on(delivery)
