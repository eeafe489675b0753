"""Works on deliveries by the batch, on one thread."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty

from kilo_common.bus.executors import LineExecutor
from kilo_common.bus.transport import Delivery

log = logging.getLogger(__name__)
HandleBatch = Callable[[Sequence[Delivery]], None]
"""Works on several deliveries and settles each."""


class BatchExecutor(LineExecutor):
    """Hands over `size` deliveries, or what came within `wait` seconds of the first."""

    def __init__(self, handle: HandleBatch, *, size: int, wait: float, name: str) -> None:
        super().__init__(lambda delivery: handle([delivery]), 1, name)
        self._handle_batch = handle
        self._size = size
        self._wait = wait
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        super().start()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        thread, self._thread = self._thread, None
        self.end(1)
        if thread is not None:
            thread.join(timeout)
        self.give_back()

    def run(self) -> None:
        self._stopping.wait()

    def _run(self) -> None:
        while (first := self._line.get()) is not None:
            batch, ended = self._fill([first])
            try:
                self._handle_batch(batch)
            except Exception:  # a worker's edge: the next batch must be served
                log.exception("%d messages could not be handled; they come again", len(batch))
                self.pause(0.1)
                for delivery in batch:  # those that are settled already stay so
                    delivery.requeue()
            if ended:
                return

    def _fill(self, batch: list[Delivery]) -> tuple[list[Delivery], bool]:
        """The rest of a batch, and whether the line has ended."""
        deadline = time.monotonic() + self._wait
        while len(batch) < self._size:
            try:
                # What is in line already is taken even when the time is up.
                delivery = self._line.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                break
            if delivery is None:
                return batch, True
            batch.append(delivery)
        return batch, False
