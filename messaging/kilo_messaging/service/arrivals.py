"""Long polling: a request that found nothing waits until something may have arrived.

Who waits holds neither a connection to the store nor a native thread (under gevent a greenlet
sleeps). A post in this process wakes it, and one in another process by way of the push fanout; what
nobody announces, such as the end of a claim or of a delay, is noticed by looking again.
"""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from kilo_messaging.domain.topic import TopicKey

T = TypeVar("T")
LOOK_AGAIN = 1.0
"""Seconds after which who waits looks again, whether it was woken or not."""
Ending = Callable[[], bool]
"""Whether the server is about to stop, so that nobody should wait any more."""


def never() -> bool:
    """There is no end in sight."""
    return False


class Arrivals:
    """Who waits for messages, by topic."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rung: list[Callable[[], None]] = []
        self._bells: dict[TopicKey, set[threading.Event]] = {}

    def on_ring(self, rung: Callable[[], None]) -> None:
        """Call `rung` whenever something may have arrived anywhere; it returns at once."""
        self._rung.append(rung)

    def ring(self, key: TopicKey) -> None:
        """Something may have arrived in the topic; returns at once."""
        for rung in self._rung:
            rung()
        if key in self._bells:
            with self._lock:
                for bell in self._bells.get(key, ()):
                    bell.set()

    def first(
        self, key: TopicKey, look: Callable[[], T | None], seconds: int, ending: Ending
    ) -> T | None:
        """What `look` finds, at once or within `seconds`; None if that is nothing."""
        found = look()
        if found or seconds <= 0:
            return found
        bell = threading.Event()
        with self._lock:
            self._bells.setdefault(key, set()).add(bell)
        try:
            return self._wait(bell, look, seconds, ending)
        finally:
            with self._lock:
                self._bells[key].discard(bell)
                if not self._bells[key]:
                    del self._bells[key]

    def _wait(
        self, bell: threading.Event, look: Callable[[], T | None], seconds: int, ending: Ending
    ) -> T | None:
        deadline = time.monotonic() + seconds
        while True:
            bell.clear()
            # What arrives from here on rings the bell.
            found = look()
            left = deadline - time.monotonic()
            if found or left <= 0 or ending():
                return found
            bell.wait(min(LOOK_AGAIN, left))
