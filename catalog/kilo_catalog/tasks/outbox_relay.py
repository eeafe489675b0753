"""The outbox relay: announces on the bus what was recorded in the database.

An event is removed after the bus confirmed it, so each is announced at least once. Several relays
may run: each claims a batch under a lease, and what a dead one had in hand comes back after it.
"""

import logging
from collections.abc import Sequence
from datetime import timedelta

from kilo_catalog.db.base import ClaimedEvent, Event, Transaction, UnitOfWork
from kilo_catalog.tasks.periodic import Periodic
from kilo_common.bus.notifier import Notifier
from kilo_common.clock import Clock
from kilo_common.errors import KiloError

log = logging.getLogger(__name__)
BATCH = 100
LEASE = timedelta(seconds=15)
"""How long a dead relay's batch waits for another. A live one that takes longer only makes
duplicates, which listeners know by their message id."""
POLL = 1.0
GREATEST_PAUSE = 30.0


class OutboxRelay:
    """Announces events, oldest first."""

    def __init__(self, unit_of_work: UnitOfWork, notifier: Notifier, clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._notifier = notifier
        self._clock = clock
        self._pause = POLL
        self._periodic = Periodic("catalog-outbox", POLL, self.run_once)

    def start(self) -> None:
        """Begin to announce, at once after each commit."""
        self._unit_of_work.on_event(self._periodic.wake)
        self._periodic.start()

    def stop(self, timeout: float) -> None:
        """Finish the batch in hand. What is left is announced after the next start."""
        self._periodic.stop(timeout)

    def run_once(self) -> float:
        """Announce all there is; the seconds until the next look."""
        done: Sequence[int] = ()
        while batch := self._exchange(done):
            done = self._announce(batch)
            if len(done) < len(batch):
                self._pause = min(GREATEST_PAUSE, self._pause * 2)
                return self._pause
            self._pause = POLL
        return POLL

    def _exchange(self, done: Sequence[int]) -> Sequence[ClaimedEvent]:
        """Forget what was announced and claim what is next, in one transaction."""
        now = self._clock.now()

        def work(transaction: Transaction) -> Sequence[ClaimedEvent]:
            transaction.outbox.remove(done)
            return transaction.outbox.claim(now, now + LEASE, BATCH)

        return self._unit_of_work.write(work)

    def _announce(self, batch: Sequence[ClaimedEvent]) -> Sequence[int]:
        """Announce in order; which were. At the first failure the rest is given back."""
        done: list[int] = []
        try:
            for each in batch:
                self._notify(each.event)
                done.append(each.sequence)
        except KiloError as fault:
            log.warning("the bus does not take events, they wait in the outbox: %s", fault)
        finally:
            if len(done) < len(batch):
                self._give_back(done, [each.sequence for each in batch[len(done) :]])
        return done

    def _notify(self, event: Event) -> None:
        self._notifier.notify(
            event.context,
            event.event_type,
            event.payload,
            message_id=event.id,
            occurred_at=event.occurred_at,
        )

    def _give_back(self, done: Sequence[int], left: Sequence[int]) -> None:
        now = self._clock.now()

        def work(transaction: Transaction) -> None:
            transaction.outbox.remove(done)
            transaction.outbox.release(left, now)

        self._unit_of_work.write(work)
