"""Work that waits while other work is under way is done together next.

A single write costs mostly its round trips and its fsync; both are shared by all who wait. There is
no thread: whoever finds nobody at work leads, and hands over to the first who waits when done.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from itertools import accumulate, takewhile
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Waiting(Generic[Item]):
    """Somebody in line: a Future would take longer to make than many a work takes."""

    __slots__ = ("_bell", "item", "outcome")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.outcome: object = None
        self._bell = threading.Lock()
        self._bell.acquire()

    def wait(self) -> object:
        """What `tell` is given, by anybody, before or after."""
        self._bell.acquire()
        return self.outcome

    def tell(self, outcome: object) -> None:
        """Wake who waits."""
        self.outcome = outcome
        self._bell.release()


class _Lead:
    """Told to the first who waits: the next work is yours."""


class Line(Generic[Item, Result]):
    """Where callers wait for each other."""

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Result | Exception]],
        *,
        most: int,
        weigh: Callable[[Item], int] = lambda _item: 1,
    ) -> None:
        """`work` does several items, and has a result or an error for each, in their order.

        Together they weigh `most` at most, but one is always taken. If `work` raises, that is
        everybody's error.
        """
        self._work = work
        self._weigh = weigh
        self._most = most
        self._lock = threading.Lock()  # never held while anything is waited for
        self._waiting: list[_Waiting[Item]] = []
        self._busy = False

    def do(self, item: Item) -> Result:
        """The result for `item`, which was done alone or together with others.

        Raises:
            The error that `work` has for this item.
        """
        mine = _Waiting(item)
        with self._lock:
            self._waiting.append(mine)
            lead, self._busy = not self._busy, True
        outcome = self._lead() if lead else self._wait(mine)
        if isinstance(outcome, _Lead):
            outcome = self._lead()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome  # type: ignore[return-value]  # it is told only what `work` returned

    def _wait(self, mine: _Waiting[Item]) -> object:
        try:
            return mine.wait()
        except BaseException:  # who waits is killed: whoever waits behind must not miss its turn
            with self._lock:
                if mine in self._waiting:
                    self._waiting.remove(mine)
            if isinstance(mine.outcome, _Lead):
                self._hand_over()
            raise

    def _lead(self) -> Result | Exception:
        """Do what waits, tell the others, and hand over. The first in line is the leader."""
        with self._lock:
            count = self._count()
            group, self._waiting = self._waiting[:count], self._waiting[count:]
        outcomes: Sequence[Result | Exception] | None = None
        try:
            outcomes = self._work([each.item for each in group])
        except Exception as fault:  # noqa: BLE001 - each who waits is told
            outcomes = [fault] * len(group)
        finally:
            # Also when this greenlet is killed: the others must not wait for ever.
            self._hand_over()
            for number, each in enumerate(group[1:], start=1):
                each.tell(CancelledError() if outcomes is None else outcomes[number])
        return outcomes[0]

    def _count(self) -> int:
        """How many of those who wait are done together next."""
        weights = accumulate(self._weigh(each.item) for each in self._waiting)
        return max(1, sum(1 for _ in takewhile(lambda weight: weight <= self._most, weights)))

    def _hand_over(self) -> None:
        with self._lock:
            following = self._waiting[0] if self._waiting else None
            self._busy = following is not None
        if following is not None:
            following.tell(_Lead())
