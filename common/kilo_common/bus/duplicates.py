"""Knows a request that comes twice, by its unique id, within a bounded memory."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Duplicates(Generic[T]):
    """What was answered to the last so many requests, and who waits for those at work now."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._running: dict[str, list[Callable[[T | None], Any]]] = {}
        self._finished: OrderedDict[str, T] = OrderedDict()

    def first(self, unique_id: str, later: Callable[[T | None], Any]) -> bool:
        """Whether this is the first request of that id.

        If not, `later` is called with the answer of the first: at once, or when that is finished;
        with None if the first was not finished after all.
        """
        with self._lock:
            if unique_id in self._running:
                self._running[unique_id].append(later)
                return False
            known = unique_id in self._finished
            if not known:
                self._running[unique_id] = []
                return True
            answer = self._finished[unique_id]
        later(answer)
        return False

    def finish(self, unique_id: str, answer: T | None) -> None:
        """The first is done with that answer, or with None: it will come again."""
        with self._lock:
            waiting = self._running.pop(unique_id, [])
            if answer is not None:
                self._finished[unique_id] = answer
                while len(self._finished) > self._size:
                    self._finished.popitem(last=False)
        for later in waiting:
            later(answer)
