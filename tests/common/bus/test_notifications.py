"""Notifier and listeners: priorities, topics, retries, filters, verdicts, batches, pools."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from kilo_common.bus.envelope import Notification
from kilo_common.bus.errors import BusUnavailable
from kilo_common.bus.filters import NotificationFilter
from kilo_common.bus.listener import NotificationListener
from kilo_common.bus.memory import MemoryTransport
from kilo_common.bus.notifier import PRIORITIES
from kilo_common.bus.retry import RetryPolicy
from kilo_common.bus.target import Address, Target
from kilo_common.bus.transport import Deliver
from kilo_common.bus.verdict import REQUEUE, Verdict, reject
from kilo_common.context import RequestContext
from kilo_common.errors import ConfigInvalid
from kilo_common.testing.bus import BusForTests

CONTEXT = RequestContext(project_id="p1")


@pytest.fixture
def bus() -> Iterator[BusForTests]:
    with BusForTests(stepped=True) as bus:
        yield bus


@pytest.mark.parametrize("priority", PRIORITIES)
def test_each_priority_has_its_method_and_its_queue(bus: BusForTests, priority: str) -> None:
    captured = bus.capture(priorities=[priority])
    getattr(bus.notifier("image.host1"), priority)(CONTEXT, "image.test", {"id": 1})
    bus.run()
    assert [(each.priority, each.publisher_id) for each in captured] == [
        (priority.upper(), "image.host1")
    ]


def test_every_topic_gets_the_same_notification(bus: BusForTests) -> None:
    one, two = bus.capture(topic="one"), bus.capture(topic="two")
    message_id = bus.notifier(topic=["one", "two"]).info(CONTEXT, "image.test", {})
    bus.run()
    assert [each.message_id for each in one + two] == [message_id, message_id]


def test_a_token_is_not_announced(bus: BusForTests) -> None:
    captured = bus.capture()
    bus.notifier().info({"auth_token": "secret", "user": "u"}, "image.test", {})
    bus.run()
    assert captured[0].context == {"auth_token": None, "user": "u"}


def test_another_publisher_is_prepared(bus: BusForTests) -> None:
    captured = bus.capture()
    notifier = bus.notifier("one")
    notifier.prepare(publisher_id="two").info(CONTEXT, "image.test", {})
    notifier.info(CONTEXT, "image.test", {})
    bus.run()
    assert [each.publisher_id for each in captured] == ["two", "one"]


def test_an_unconfirmed_notification_is_announced_again_under_its_id() -> None:
    class Flaky(MemoryTransport):
        failures = 2

        def publish(self, address: Address, body: bytes, **rest: Any) -> None:
            super().publish(address, body, **rest)
            if self.failures:
                self.failures -= 1
                raise BusUnavailable("not confirmed")

    bus = BusForTests()
    bus.transport = Flaky()
    captured = bus.capture()
    patient = RetryPolicy(attempts=3, sleep=lambda _pause: None)
    message_id = bus.notifier(retry=patient).info(CONTEXT, "image.test", {})
    assert [each.message_id for each in captured] == [message_id] * 3
    bus.stop()


def test_a_handler_says_what_becomes_of_a_notification(bus: BusForTests) -> None:
    verdicts: list[Verdict | None] = [REQUEUE, REQUEUE, None, reject("poison")]
    bus.listen(lambda _notification: verdicts.pop(0))
    bus.notifier().info(CONTEXT, "image.good", {})
    bus.notifier().info(CONTEXT, "image.bad", {})
    assert bus.run() == 4
    assert verdicts == []
    (dead,) = bus.dead_letters()
    assert (dead.message["event_type"], dead.reason) == ("image.bad", "poison")


def notification(**changes: Any) -> Notification:
    values: dict[str, Any] = {
        "message_id": "m1",
        "publisher_id": "compute.host1",
        "event_type": "compute.start",
        "priority": "INFO",
        "payload": {"state": "active", "size": 10},
        "timestamp": "2026-01-02 03:04:05.000006",
        "context": {"project_id": "p1"},
    }
    return Notification(**(values | changes))


@pytest.mark.parametrize(
    ("rules", "fits"),
    [
        ({}, True),
        ({"publisher_id": "^compute.*"}, True),
        ({"publisher_id": r"compute\.host2"}, False),
        ({"event_type": r"compute\."}, True),
        ({"event_type": "start"}, False),
        ({"context": {"project_id": "^p1$"}}, True),
        ({"context": {"user_id": ".*"}}, False),
        ({"metadata": {"timestamp": "2026-"}}, True),
        ({"payload": {"state": "^active$", "size": "10"}}, True),
        ({"payload": {"state": "error"}}, False),
        ({"publisher_id": "compute", "payload": {"state": "error"}}, False),
    ],
)
def test_a_filter_lets_through_what_matches_all_of_it(rules: dict[str, Any], fits: bool) -> None:
    assert NotificationFilter(**rules).matches(notification()) is fits


def test_a_filter_on_fields_does_not_match_a_payload_without_any() -> None:
    assert not NotificationFilter(payload={"a": ".*"}).matches(notification(payload="text"))


def test_a_filter_that_is_no_expression_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match=r"payload\.state"):
        NotificationFilter(payload={"state": "("})


def test_what_a_filter_does_not_want_is_done_with(bus: BusForTests) -> None:
    seen: list[str] = []
    bus.listen(
        lambda each: seen.append(each.event_type),
        accept=NotificationFilter(event_type=r"image\."),
        priorities=("info", "error"),
        pool="mine",
    )
    bus.notifier().info(CONTEXT, "volume.create", {})
    bus.notifier().error(CONTEXT, "image.create", {})
    bus.notifier().debug(CONTEXT, "image.debug", {})
    bus.run()
    assert seen == ["image.create"]
    assert all(
        not each.waiting + each.in_hand for name, each in bus.queues().items() if "@" in name
    )


def test_a_listener_that_cannot_start_leaves_nothing_running() -> None:
    class Down(MemoryTransport):
        def consume(self, address: Address, deliver: Deliver, **rest: Any) -> Any:
            raise BusUnavailable("down")

    listener = NotificationListener(Down(), lambda _each: None, topic="nothing")
    with pytest.raises(BusUnavailable):
        listener.start()
    assert not [t for t in threading.enumerate() if t.name.startswith("listener-nothing")]


def test_listeners_of_a_pool_share_and_pools_do_not() -> None:
    seen: list[str] = []
    with BusForTests(stepped=True) as bus:
        for name, pool in (("a1", "a"), ("a2", "a"), ("b1", "b")):
            bus.listen(lambda _each, name=name: seen.append(name), topic="shared", pool=pool)
        for number in range(4):
            bus.notifier(topic="shared").info(CONTEXT, "n", number)
        bus.run()
    assert sorted(seen) == ["a1", "a1", "a2", "a2", "b1", "b1", "b1", "b1"]
    assert Target("shared.info").topic_address.name == "shared.info"
