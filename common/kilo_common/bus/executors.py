"""Who works on deliveries: a few threads, the caller's own thread, or whoever brings them.

An executor takes deliveries off a driver's thread and hands each to one function. `threads` are
`threading` threads: under gevent's patched standard library they are greenlets. `gevent`, for
programs that do not patch, is a module of its own: `gevent_executor.py`.
"""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from queue import Empty, SimpleQueue

from kilo_common.bus.transport import Delivery
from kilo_common.registry import Driver, DriverTable

log = logging.getLogger(__name__)
Handle = Callable[[Delivery], None]
"""Works on a delivery and settles it. One that raises has it given out again."""
EXECUTORS = DriverTable(
    "bus executor",
    {
        "threads": Driver("kilo_common.bus.executors:ThreadExecutor"),
        "blocking": Driver("kilo_common.bus.executors:BlockingExecutor"),
        "inline": Driver("kilo_common.bus.executors:InlineExecutor"),
        "gevent": Driver("kilo_common.bus.gevent_executor:GeventExecutor", needs="gevent"),
    },
    group="kilostack.bus.executors",
)


def open_executor(kind: str, handle: Handle, count: int, name: str) -> "Executor":
    """The executor of that kind, not yet started, with `count` workers where it has any.

    Raises:
        ConfigInvalid: there is no such kind, or it needs a package that is not installed.
    """
    executor: Executor = EXECUTORS.load(kind)(handle, count, name)
    return executor


class Executor(ABC):
    """Works on deliveries between `start` and `stop`, and may be started again after it."""

    def __init__(self, handle: Handle, count: int, name: str) -> None:
        self._handle = handle
        self._count = count
        self._name = name

    @abstractmethod
    def start(self) -> None:
        """Begin to work."""

    @abstractmethod
    def submit(self, delivery: Delivery) -> None:
        """Put a delivery in line; returns at once."""

    @abstractmethod
    def stop(self, timeout: float) -> None:
        """Finish what is in line within `timeout` seconds. What was not begun by then is given
        back; what is not finished stays unacknowledged."""

    @abstractmethod
    def pause(self, seconds: float) -> None:
        """Let a worker rest, so that work that keeps failing is no busy loop. A stop ends it."""

    def run(self) -> None:
        """Return when `stop` was called; where no workers are its own, work until then."""
        raise NotImplementedError

    def work_on(self, delivery: Delivery) -> None:
        """Hand one delivery to the function."""
        try:
            self._handle(delivery)
        except Exception:  # a worker's edge: the next delivery must be served
            log.exception("a message on the bus could not be handled; it will come again")
            self.pause(0.1)
            delivery.requeue()


class LineExecutor(Executor):
    """An executor over one line of deliveries, in the order they came."""

    def __init__(self, handle: Handle, count: int, name: str) -> None:
        super().__init__(handle, count, name)
        self._line: SimpleQueue[Delivery | None] = SimpleQueue()
        self._stopping = threading.Event()

    def start(self) -> None:
        self._line = SimpleQueue()
        self._stopping.clear()

    def submit(self, delivery: Delivery) -> None:
        self._line.put(delivery)

    def end(self, workers: int) -> None:
        """Let so many workers end when they have come to the end of the line."""
        self._stopping.set()
        for _ in range(workers):
            self._line.put(None)

    def pause(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    def work(self) -> None:
        """Work on what is in line until there is a None."""
        while (delivery := self._line.get()) is not None:
            self.work_on(delivery)

    def give_back(self) -> None:
        """Give out again, to others, what nobody began."""
        while True:
            try:
                delivery = self._line.get_nowait()
            except Empty:
                return
            if delivery is not None:
                delivery.requeue()


class ThreadExecutor(LineExecutor):
    """A fixed number of threads."""

    def __init__(self, handle: Handle, count: int, name: str) -> None:
        super().__init__(handle, count, name)
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        super().start()
        self._threads = [
            threading.Thread(target=self.work, name=f"{self._name}-{number}", daemon=True)
            for number in range(self._count)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float) -> None:
        self.end(len(self._threads))
        deadline = time.monotonic() + timeout
        while self._threads:
            self._threads.pop().join(max(0.0, deadline - time.monotonic()))
        self.give_back()

    def run(self) -> None:
        self._stopping.wait()


class BlockingExecutor(LineExecutor):
    """The thread that calls `run` does all the work, one delivery after the other."""

    def __init__(self, handle: Handle, count: int, name: str) -> None:
        super().__init__(handle, count, name)
        self._idle = threading.Event()
        self._idle.set()

    def run(self) -> None:
        self._idle.clear()
        try:
            if not self._stopping.is_set():  # a stop that came first waits for nobody
                self.work()
        finally:
            self._idle.set()

    def stop(self, timeout: float) -> None:
        self.end(1)
        self._idle.wait(timeout)
        self.give_back()


class InlineExecutor(Executor):
    """Works at once on the thread that brings the delivery: for tests that go step by step, and
    for handlers that do next to nothing."""

    def __init__(self, handle: Handle, count: int, name: str) -> None:
        super().__init__(handle, count, name)
        self._stopping = threading.Event()

    def start(self) -> None:
        self._stopping.clear()

    def submit(self, delivery: Delivery) -> None:
        self.work_on(delivery)

    def stop(self, timeout: float) -> None:
        del timeout  # nothing is ever in line
        self._stopping.set()

    def pause(self, seconds: float) -> None:
        del seconds  # whoever publishes must not be held up

    def run(self) -> None:
        self._stopping.wait()
