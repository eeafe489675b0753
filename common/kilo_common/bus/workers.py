"""Takes deliveries off a driver's thread and works on them, a few at a time.

The workers are `threading` threads: under gevent's patched standard library they are greenlets.
"""

import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

from kilo_common.bus.transport import Delivery

log = logging.getLogger(__name__)


class DeliveryWorkers:
    """A fixed number of workers over one queue of deliveries."""

    def __init__(self, handle: Callable[[Delivery], None], *, count: int, name: str) -> None:
        """`handle` settles the delivery it is given; one that raises has it requeued."""
        self._handle = handle
        self._queue: SimpleQueue[Delivery | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(count)
        ]

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def submit(self, delivery: Delivery) -> None:
        """Put a delivery in line; returns at once."""
        self._queue.put(delivery)

    def stop(self, timeout: float) -> None:
        """Finish what is in line within `timeout` seconds; the rest stays unacknowledged."""
        for _thread in self._threads:
            self._queue.put(None)
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        while True:
            delivery = self._queue.get()
            if delivery is None:
                return
            try:
                self._handle(delivery)
            except Exception:
                log.exception("a message on the bus could not be handled; it will come again")
                time.sleep(0.1)  # not a busy loop while whatever failed keeps failing
                delivery.requeue()
