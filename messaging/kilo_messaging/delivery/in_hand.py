"""What a dispatcher has claimed: who may be sent the next, and how much more may be claimed.

More is claimed than is sent at the same moment, so that senders need not wait for the database.
But one subscription never has more than `each` attempts under way: those that wait for it hold no
sender.
"""

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence

from kilo_messaging.domain.delivery import Job

AHEAD = 4
"""How many times what may be under way is claimed."""


class InHand:
    """Jobs between their claim and their settlement. Used by any number of threads."""

    def __init__(self, concurrency: int, each: int) -> None:
        """At most `concurrency` attempts are under way, `each` of one subscription."""
        self._concurrency = concurrency
        self._each = each
        self._changed = threading.Condition()
        self._ended = False
        self._held: Counter[str] = Counter()
        """Jobs in hand, by subscription."""
        self._running: Counter[str] = Counter()
        """Of these, attempts under way."""
        self._waiting: defaultdict[str, deque[Job]] = defaultdict(deque)
        """Those whose turn has not come, because their subscription has enough under way."""
        self._ready: deque[Job] = deque()

    def room(self) -> tuple[int, Sequence[str]]:
        """How many jobs may be claimed, and the subscriptions that have enough of them."""
        with self._changed:
            free = self._concurrency * AHEAD - self._held.total()
            most = self._each * (AHEAD - 1)
            return free, [each for each, count in self._held.items() if count > most]

    def begin(self) -> None:
        """Let `take` give out jobs (again)."""
        with self._changed:
            self._ended = False

    def end(self) -> None:
        """Let nobody wait in `take`. What waits is forgotten: its claim ends by itself."""
        with self._changed:
            self._ended = True
            for job in [*self._ready, *(job for line in self._waiting.values() for job in line)]:
                self._forget(job.subscription.id)
            self._ready.clear()
            self._waiting.clear()
            self._changed.notify_all()

    def add(self, jobs: Iterable[Job]) -> None:
        """Take in what was claimed."""
        with self._changed:
            for job in jobs:
                self._held[job.subscription.id] += 1
                self._line_up(job)

    def take(self) -> Job | None:
        """The next job to send, once there is one; None at the end."""
        with self._changed:
            while not self._ready and not self._ended:
                self._changed.wait()
            return self._ready.popleft() if self._ready else None

    def sent(self, job: Job) -> None:
        """The attempt is over; another one of the subscription may begin."""
        with self._changed:
            owner = job.subscription.id
            self._running[owner] -= 1
            if self._running[owner] <= 0:
                del self._running[owner]
            line = self._waiting.get(owner)
            if line:
                self._line_up(line.popleft())
                if not line:
                    del self._waiting[owner]

    def settled(self, subscription_ids: Iterable[str]) -> None:
        """Jobs of these are no longer in hand; an id stands once for each job."""
        with self._changed:
            for each in subscription_ids:
                self._forget(each)

    def _line_up(self, job: Job) -> None:
        owner = job.subscription.id
        if self._running[owner] >= self._each:
            self._waiting[owner].append(job)
            return
        self._running[owner] += 1
        self._ready.append(job)
        self._changed.notify()

    def _forget(self, owner: str) -> None:
        self._held[owner] -= 1
        if self._held[owner] <= 0:
            del self._held[owner]
