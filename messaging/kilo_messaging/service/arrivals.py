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
Bell = Callable[[TopicKey], None]
"""Told that something may have arrived in a topic; returns at once."""
Ending = Callable[[], bool]
"""Whether the server is about to stop or the client has gone, so that nobody should wait."""


def never() -> bool:
    """There is no end in sight."""
    return False


class Arrivals:
    """Who waits for messages, by topic."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rung: list[Callable[[], None]] = []
        self._bells: dict[TopicKey, set[Bell]] = {}

    def on_ring(self, rung: Callable[[], None]) -> None:
        """Call `rung` whenever something may have arrived anywhere; it returns at once."""
        self._rung.append(rung)

    def ring(self, key: TopicKey) -> None:
        """Something may have arrived in the topic; returns at once."""
        for rung in self._rung:
            rung()
        if key in self._bells:
            with self._lock:
                bells = tuple(self._bells.get(key, ()))
            for bell in bells:
                bell(key)

    def watch(self, key: TopicKey, bell: Bell) -> None:
        """Call `bell` whenever something may have arrived in the topic; it returns at once."""
        with self._lock:
            self._bells.setdefault(key, set()).add(bell)

    def unwatch(self, key: TopicKey, bell: Bell) -> None:
        """No more for `bell`; one that does not watch is no error."""
        with self._lock:
            bells = self._bells.get(key, set())
            bells.discard(bell)
            if not bells:
                self._bells.pop(key, None)

    def first(
        self, key: TopicKey, look: Callable[[], T | None], seconds: int, ending: Ending
    ) -> T | None:
        """What `look` finds, at once or within `seconds`; None if that is nothing."""
        found = look()
        if found or seconds <= 0:
            return found
        rung = threading.Event()

        def bell(_key: TopicKey) -> None:
            rung.set()

        self.watch(key, bell)
        try:
            return self._wait(rung, look, seconds, ending)
        finally:
            self.unwatch(key, bell)

    def _wait(
        self, bell: threading.Event, look: Callable[[], T | None], seconds: int, ending: Ending
    ) -> T | None:
        deadline = time.monotonic() + seconds
        while not ending():
            bell.clear()
            # What arrives from here on rings the bell.
            found = look()
            left = deadline - time.monotonic()
            if found or left <= 0:
                return found
            bell.wait(min(LOOK_AGAIN, left))
        # Nothing is taken for somebody who cannot be told any more.
        return None
