"""Tells callers of long calls that their method is still at work."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

log = logging.getLogger(__name__)


@dataclass
class _Beat:
    interval: float
    due: float
    send: Callable[[], None]


class CallMonitor:
    """One thread for all monitored calls of a server; it is there only while there are any."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._by_key: dict[int, _Beat] = {}
        self._changed = threading.Condition()
        self._running = False

    @contextmanager
    def watch(self, interval: float, send: Callable[[], None]) -> Iterator[None]:
        """Call `send` every `interval` seconds while the block runs."""
        beat = _Beat(interval, time.monotonic() + interval, send)
        with self._changed:
            self._by_key[id(beat)] = beat
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                del self._by_key[id(beat)]
                self._changed.notify()

    def _run(self) -> None:
        while (due := self._next()) is not None:
            for beat in due:
                beat.due = time.monotonic() + beat.interval
                try:
                    beat.send()
                except Exception:  # a thread's edge: the other calls must be told of
                    log.exception("a caller could not be told that its call is at work")

    def _next(self) -> list[_Beat] | None:
        """The beats that are due, once there are any; None when no call is left."""
        with self._changed:
            while self._by_key:
                now = time.monotonic()
                due = [each for each in self._by_key.values() if each.due <= now]
                if due:
                    return due
                self._changed.wait(min(each.due for each in self._by_key.values()) - now)
            self._running = False
            return None
