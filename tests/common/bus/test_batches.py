"""The batch listener: full batches, late ones, failures, and middleware around each."""

from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any

import pytest

from kilo_common.bus.batches import BatchExecutor
from kilo_common.bus.envelope import Notification
from kilo_common.bus.errors import BusUnavailable
from kilo_common.bus.listener import BatchNotificationListener
from kilo_common.bus.memory import MemoryTransport
from kilo_common.bus.middleware.base import Incoming, Middleware
from kilo_common.bus.middleware.dead_letter import DeadLetter
from kilo_common.bus.notifier import Notifier
from kilo_common.bus.target import Kind
from kilo_common.bus.transport import DEAD_REASON, Delivery
from kilo_common.bus.verdict import REQUEUE, Verdict, reject
from kilo_common.context import RequestContext
from kilo_common.ids import random_id
from kilo_common.testing.clock import FakeClock

CONTEXT = RequestContext(project_id="p1")


class Batches:
    def __init__(self) -> None:
        self.transport = MemoryTransport()
        self.seen: SimpleQueue[list[int]] = SimpleQueue()
        self.verdicts: list[Verdict | Exception] = []
        self.notifier = Notifier(
            self.transport, "test", clock=FakeClock(), new_id=random_id, topic="batched"
        )

    def handle(self, notifications: Sequence[Notification]) -> Verdict | None:
        self.seen.put([each.payload for each in notifications])
        verdict = self.verdicts.pop(0) if self.verdicts else None
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    def send(self, *numbers: int) -> None:
        for number in numbers:
            self.notifier.info(CONTEXT, "number", number)

    def listener(self, **options: Any) -> BatchNotificationListener:
        return BatchNotificationListener(self.transport, self.handle, topic="batched", **options)


def test_a_batch_is_handed_over_when_it_is_full_or_its_time_is_up() -> None:
    batches = Batches()
    batches.send(1, 2, 3)
    listener = batches.listener(size=2, wait=0.05)
    listener.start()
    assert batches.seen.get(timeout=5) == [1, 2]
    assert batches.seen.get(timeout=5) == [3]
    listener.stop(5)


@pytest.mark.parametrize("verdict", [REQUEUE, RuntimeError("not yet")])
def test_a_batch_that_is_not_done_comes_again_as_a_whole(verdict: Verdict | Exception) -> None:
    batches = Batches()
    batches.verdicts.append(verdict)
    batches.send(1, 2)
    listener = batches.listener(size=2, wait=5)
    listener.start()
    assert batches.seen.get(timeout=5) == batches.seen.get(timeout=5) == [1, 2]
    listener.stop(5)
    assert all(not each.waiting and not each.in_hand for each in batches.transport.look())


def test_a_stop_hands_over_the_batch_in_hand() -> None:
    batches = Batches()
    batches.send(1)
    listener = batches.listener(size=10, wait=60)
    listener.start()
    listener.stop(5)
    assert batches.seen.get(timeout=5) == [1]


class Hooks(Middleware):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def before_handle(self, incoming: Incoming) -> None:
        content = incoming.content
        assert isinstance(content, Notification)
        if content.payload == 13:
            raise ValueError("unlucky")
        self.seen.append(f"before {content.payload} of {incoming.together}")

    def after_handle(self, incoming: Incoming, verdict: Verdict) -> None:
        self.seen.append(f"after {verdict.outcome.value}")

    def on_failure(self, incoming: Incoming, error: Exception) -> Verdict | None:
        self.seen.append(f"failed {error}")
        return reject("unlucky") if isinstance(error, ValueError) else None


def test_middleware_goes_around_each_notification_of_a_batch() -> None:
    batches, hooks = Batches(), Hooks()
    batches.send(1, 13, 2)
    listener = batches.listener(size=3, wait=5, middleware=[hooks])
    listener.start()
    assert batches.seen.get(timeout=5) == [1, 2]
    listener.stop(5)
    assert hooks.seen == [
        "before 1 of 3", "before 2 of 3", "after done", "failed unlucky", "after done",
        "failed unlucky",
    ]  # fmt: skip
    (dead,) = (each for each in batches.transport.look() if each.address.kind is Kind.DEAD)
    assert dead.waiting[0].headers[DEAD_REASON] == "unlucky"


def test_a_poisonous_notification_buries_none_of_its_batch() -> None:
    batches = Batches()
    done: SimpleQueue[int] = SimpleQueue()

    def handle(notifications: Sequence[Notification]) -> None:
        if 13 in (each.payload for each in notifications):
            raise ValueError("unlucky")
        for each in notifications:
            done.put(each.payload)

    batches.send(1, 13, 2)
    dead_letter = DeadLetter(attempts=2)
    listener = BatchNotificationListener(
        batches.transport, handle, topic="batched", size=3, wait=5, middleware=[dead_letter]
    )
    listener.start()
    assert [done.get(timeout=5), done.get(timeout=5)] == [1, 2]
    listener.stop(5)
    (dead,) = (each for each in batches.transport.look() if each.waiting)
    assert dead.address.kind is Kind.DEAD
    assert dead.waiting[0].headers[DEAD_REASON] == "failed 3 times; at last: ValueError: unlucky"


def test_a_batch_that_cannot_be_settled_comes_again_and_ends_nobody() -> None:
    served: SimpleQueue[list[bytes]] = SimpleQueue()
    again: SimpleQueue[bytes] = SimpleQueue()

    def delivery(body: bytes) -> Delivery:
        return Delivery(body, False, {}, print, lambda: again.put(body), print)

    def handle(deliveries: Sequence[Delivery]) -> None:
        bodies = [each.body for each in deliveries]
        served.put(bodies)
        if b"bad" in bodies:
            raise BusUnavailable("the dead letters are out of reach")

    executor = BatchExecutor(handle, size=2, wait=5, name="test")
    executor.start()
    for body in (b"bad", b"company", b"good", b"better"):
        executor.submit(delivery(body))
    assert served.get(timeout=5) == [b"bad", b"company"]
    assert [again.get(timeout=5), again.get(timeout=5)] == [b"bad", b"company"]
    assert served.get(timeout=5) == [b"good", b"better"]
    executor.stop(5)
