"""A thread that does the same thing again and again, until it is stopped or woken earlier."""

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class Periodic:
    """Calls `work` at once and then every `interval` seconds, or sooner when woken."""

    def __init__(self, name: str, interval: float, work: Callable[[], float | None]) -> None:
        """`work` may return the seconds until its next turn; None means `interval`."""
        self._name = name
        self._interval = interval
        self._work = work
        self._woken = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to work."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Finish the turn in hand, at most `timeout` seconds, and end."""
        self._stopping = True
        self._woken.set()
        if self._thread is not None:
            self._thread.join(timeout)
            self._thread = None

    def wake(self) -> None:
        """Take the next turn now."""
        self._woken.set()

    def _run(self) -> None:
        while True:
            self._woken.clear()
            if self._stopping:
                return
            self._woken.wait(self._turn())

    def _turn(self) -> float:
        try:
            pause = self._work()
        except Exception:  # a thread's edge: the next turn may well succeed
            log.exception("%s failed; it tries again in %.0f seconds", self._name, self._interval)
            return self._interval
        return self._interval if pause is None else pause
