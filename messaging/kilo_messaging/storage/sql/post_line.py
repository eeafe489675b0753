"""Posts that wait while one transaction is under way become the next transaction together.

A single insert costs mostly its round trips and its fsync; both are shared by all who wait. There
is no thread: whoever finds nobody at work leads, and hands over to the first who waits when done.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.storage.base import WINDOW, Posted, Prepare

MOST = 128


@dataclass(frozen=True)
class Post:
    """One caller's post."""

    key: TopicKey
    prepare: Prepare
    now: datetime
    once: str | None = None
    window: timedelta = WINDOW


Outcome = Posted | Exception | None
"""What was posted, None where its key was used before, or why it was not."""
WritePosts = Callable[[Sequence[Post]], list[Outcome]]
"""Posts all of these in one transaction; raises if none of them could be."""


@dataclass(frozen=True)
class _Waiting:
    post: Post
    turn: "Future[Outcome | _Lead]" = field(default_factory=Future)


class _Lead:
    """Told to the first who waits: the next transaction is yours."""


class PostLine:
    """Where posts wait for each other."""

    def __init__(self, write: WritePosts) -> None:
        self._write = write
        self._lock = threading.Lock()  # never held while anything is waited for
        self._waiting: list[_Waiting] = []
        self._busy = False

    def post(self, post: Post) -> Posted | None:
        """Post, alone or together with others; returns after the commit.

        Raises:
            Whatever `prepare` raises, for this post alone.
            Unavailable: the store does not answer.
        """
        mine = _Waiting(post)
        with self._lock:
            self._waiting.append(mine)
            lead, self._busy = not self._busy, True
        if not lead:
            outcome = mine.turn.result()
            if not isinstance(outcome, _Lead):
                return _result(outcome)
        return _result(self._lead())

    def _lead(self) -> Outcome:
        """Write what waits, tell the others, and hand over. The first in line is the leader."""
        with self._lock:
            group, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        outcomes: Sequence[Outcome] | None = None
        try:
            outcomes = self._write([each.post for each in group])
        except Exception as fault:  # noqa: BLE001 - each who waits is told
            outcomes = [fault] * len(group)
        finally:
            # Also when this greenlet is killed: the others must not wait for ever.
            self._hand_over()
            for number, each in enumerate(group[1:], start=1):
                if outcomes is None:
                    each.turn.cancel()
                else:
                    each.turn.set_result(outcomes[number])
        return outcomes[0]

    def _hand_over(self) -> None:
        with self._lock:
            following = self._waiting[0] if self._waiting else None
            self._busy = following is not None
        if following is not None:
            following.turn.set_result(_Lead())


def _result(outcome: Outcome) -> Posted | None:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
