"""The dispatcher: claims what is due, has it sent, and records how it went.

One thread claims, a fixed number of threads send, one thread settles. What a thread has sent is
settled together with whatever else has been sent meanwhile, in one transaction. A process that dies
settles nothing: its claims end, and others deliver again. So every delivery arrives at least once.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue

from kilo_common.clock import Clock
from kilo_common.errors import KiloError
from kilo_messaging.config import DeliverySettings
from kilo_messaging.delivery.base import Answer, Sender
from kilo_messaging.delivery.in_hand import AHEAD, InHand
from kilo_messaging.domain.delivery import Attempt, Delivery, Job, Result, Settlement
from kilo_messaging.domain.subscriber import Subscriber, read_subscriber
from kilo_messaging.storage.base import Stores
from kilo_messaging.storage.subscription_base import DeliveryStore

log = logging.getLogger(__name__)
SETTLE_AT_ONCE = 500
PAUSE = 0.5
"""Seconds before a store that does not answer is asked again."""
Senders = Mapping[type[Subscriber], Sender]


class Dispatcher:
    """Delivers until it is stopped. Any number of processes may each have one."""

    def __init__(
        self, stores: Stores, senders: Senders, clock: Clock, settings: DeliverySettings
    ) -> None:
        """The stores must keep deliveries."""
        self._deliveries: DeliveryStore = stores.deliveries
        self._topics = stores.topics
        self._senders = senders
        self._clock = clock
        self._settings = settings
        # Whoever is claimed last waits for those before it.
        self._lease = timedelta(seconds=max(settings.lease, (AHEAD + 1) * settings.timeout))
        self._in_hand = InHand(settings.concurrency, settings.each)
        self._settlements: SimpleQueue[Sequence[Settlement] | None] = SimpleQueue()
        self._awake = threading.Event()
        self._stopping = threading.Event()
        self._claimer: threading.Thread | None = None
        self._others: list[threading.Thread] = []
        self._settler: threading.Thread | None = None

    def start(self) -> None:
        """Begin to deliver."""
        self._stopping.clear()
        self._in_hand.begin()
        self._settler = self._thread("settler", self._settle_all)
        self._others = [
            self._thread(f"sender-{number}", self._send_all)
            for number in range(self._settings.concurrency)
        ]
        self._claimer = self._thread("claimer", self._claim_all)

    def stop(self, timeout: float) -> None:
        """Claim no more, and record the attempts under way, as far as they end in time."""
        deadline = time.monotonic() + timeout
        self._stopping.set()
        self._awake.set()
        self._join(self._claimer, deadline)
        self._in_hand.end()
        for each in self._others:
            self._join(each, deadline)
        self._settlements.put(None)
        self._join(self._settler, deadline)
        self._claimer, self._others, self._settler = None, [], None

    def wake(self) -> None:
        """Something may be due; returns at once."""
        self._awake.set()

    def _claim_all(self) -> None:
        while not self._stopping.is_set():
            self._awake.clear()
            try:
                jobs = self._claim()
            except KiloError as fault:
                log.warning("deliveries are put off: %s", fault)
                self._stopping.wait(PAUSE)
                continue
            except Exception:  # a thread's edge: the next round tries again
                log.exception("deliveries are put off")
                self._stopping.wait(PAUSE)
                continue
            self._in_hand.add(jobs)
            if not jobs:
                self._awake.wait(self._until_next())

    def _claim(self) -> Sequence[Job]:
        free, full = self._in_hand.room()
        if free <= 0:
            return ()
        now = self._clock.now()
        return self._deliveries.claim(
            now, now + self._lease, limit=free, each=self._settings.each, busy=full
        )

    def _until_next(self) -> float:
        """Seconds until something is due, or until it is time to look anyway."""
        free, _full = self._in_hand.room()
        if free <= 0:
            return self._settings.poll
        now = self._clock.now()
        try:
            due = self._deliveries.next_due(now)
        except KiloError:
            return self._settings.poll
        if due is None:
            return self._settings.poll
        return min(self._settings.poll, max(0.001, (due - now).total_seconds()))

    def _send_all(self) -> None:
        while (job := self._in_hand.take()) is not None:
            try:
                self._settlements.put(self._send(job))
            except Exception:  # a thread's edge: the claim ends, and it is delivered again
                log.exception("a delivery to %s ended in a fault", job.subscription.id)
                self._let_go([job.subscription.id])
            finally:
                self._in_hand.sent(job)

    def _send(self, job: Job) -> list[Settlement]:
        begun = time.monotonic()
        subscription = job.subscription
        sender = self._senders[type(read_subscriber(subscription.subscriber, subscription.key))]
        answer = sender.send(job)
        milliseconds = round((time.monotonic() - begun) * 1000)
        now = self._clock.now()
        return [self._settlement(job, each, answer, milliseconds, now) for each in job.deliveries]

    def _settlement(
        self, job: Job, delivery: Delivery, answer: Answer, milliseconds: int, now: datetime
    ) -> Settlement:
        result, due_at = Result.DELIVERED, None
        if answer.gone:
            result = Result.GONE
        elif not answer.arrived:
            due_at = self._retry_at(job, delivery, answer, now)
            result = Result.FAILED if due_at is None else Result.RETRY
        return Settlement(
            key=job.subscription.key,
            subscription_id=job.subscription.id,
            attempt=Attempt(
                delivery=delivery.position,
                message_id=delivery.notice.message_id,
                number=delivery.attempts + 1,
                at=now,
                milliseconds=milliseconds,
                result=result,
                status=answer.status,
                detail=answer.detail,
            ),
            due_at=due_at,
        )

    def _retry_at(
        self, job: Job, delivery: Delivery, answer: Answer, now: datetime
    ) -> datetime | None:
        """When to try again; None where that would be too often, or after the message's life."""
        topic = self._topics.get(job.subscription.key)
        ours = topic.retry_policy if topic else None
        policy = job.subscription.options.retry_policy
        if policy is None or (ours is not None and ours.ignore_subscription_override):
            policy = ours or self._settings.retry
        # Chance only spreads retries; nothing secret rests on it.
        delay = policy.delay_after(delivery.attempts + 1, random.random())  # noqa: S311
        if delay is None:
            return None
        due = now + timedelta(seconds=max(delay, answer.retry_after or 0.0))
        return due if due < delivery.notice.expires_at else None

    def _settle_all(self) -> None:
        ended = False
        while not ended:
            first = self._settlements.get()
            if first is None:
                return
            batch = list(first)
            jobs = [first[0].subscription_id]
            while len(batch) < SETTLE_AT_ONCE:
                try:
                    more = self._settlements.get_nowait()
                except Empty:
                    break
                if more is None:
                    ended = True
                    break
                batch += more
                jobs.append(more[0].subscription_id)
            self._settle(batch)
            self._let_go(jobs)

    def _settle(self, batch: Sequence[Settlement]) -> None:
        """Record these; for as long as the claims on them hold, a silent store is asked again."""
        give_up = time.monotonic() + self._lease.total_seconds() / 2
        while True:
            try:
                return self._deliveries.settle(batch, self._clock.now())
            except KiloError as fault:
                if time.monotonic() > give_up or self._stopping.wait(PAUSE):
                    log.warning("%d attempts are not recorded: %s", len(batch), fault)
                    return None
            except Exception:  # a thread's edge: these are delivered again when their claims end
                log.exception("%d attempts are not recorded", len(batch))
                return None

    def _let_go(self, subscription_ids: Sequence[str]) -> None:
        self._in_hand.settled(subscription_ids)
        self._awake.set()

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work, name=f"delivery-{name}", daemon=True)
        thread.start()
        return thread

    def _join(self, thread: threading.Thread | None, deadline: float) -> None:
        if thread is not None:
            thread.join(max(0.0, deadline - time.monotonic()))
