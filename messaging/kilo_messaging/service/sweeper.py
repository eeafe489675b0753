"""Removes what has expired, in the background, a little at a time."""

import logging
import threading
from datetime import timedelta

from kilo_common.clock import Clock
from kilo_common.errors import KiloError
from kilo_messaging.storage.base import MessageStore
from kilo_messaging.storage.subscription_base import DeliveryStore

log = logging.getLogger(__name__)
BATCH = 500


class Sweeper:
    """Sweeps the store every few seconds until it is stopped."""

    def __init__(
        self,
        messages: MessageStore,
        clock: Clock,
        *,
        interval: float,
        key_window: int,
        deliveries: DeliveryStore,
        log_retention: int,
    ) -> None:
        """`key_window` and `log_retention` are in seconds."""
        self._messages = messages
        self._deliveries = deliveries
        self._retention = timedelta(seconds=log_retention)
        self._clock = clock
        self._interval = interval
        self._window = timedelta(seconds=key_window)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to sweep."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Finish the batch in hand."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout)
            self._thread = None

    def sweep(self) -> int:
        """Remove all that nobody can see any more; how much. Others get their turn between."""
        removed = 0
        while not self._stopping.is_set():
            now = self._clock.now()
            batch = self._messages.sweep(now, BATCH, now - self._window)
            batch = max(batch, self._deliveries.sweep(now, BATCH, now - self._retention))
            removed += batch
            if batch < BATCH:
                break
            self._stopping.wait(0.01)
        return removed

    def _run(self) -> None:
        while not self._stopping.wait(self._interval):
            try:
                removed = self.sweep()
            except KiloError as fault:
                log.warning("the sweep is put off: %s", fault)
            except Exception:  # a thread's edge: the next round tries again
                log.exception("the sweep failed")
            else:
                if removed:
                    log.debug("%d expired things were removed", removed)
