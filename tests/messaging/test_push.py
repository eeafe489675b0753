"""Pushes reach who is subscribed, here and in other processes, and nobody waits for anybody."""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pytest

from kilo_common.bus.memory import MemoryTransport
from kilo_common.bus.target import Address, Kind
from kilo_common.bus.transport import Capability
from kilo_common.context import RequestContext
from kilo_common.testing.clock import FakeClock
from kilo_messaging.domain.message import Message, new_message
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.errors import LimitExceeded
from kilo_messaging.service.connection_subscriptions import ConnectionSubscriptions, PushLine
from kilo_messaging.service.following import Following
from kilo_messaging.service.push import PushHub
from kilo_messaging.wiring import MessagingApi

ADDRESS = Address(Kind.FANOUT, "openstack", "messaging.push")
KEY = TopicKey("demo", "news")
WaitUntil = Callable[[Callable[[], bool]], None]


class SharedBus(MemoryTransport):
    """The bus in memory, as if several processes shared it."""

    capabilities = MemoryTransport.capabilities | {Capability.BETWEEN_PROCESSES}


def message(body: str) -> Message:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return new_message(
        message_id=body, body=body.encode(), ttl=60, delay=0, client_id="me", now=now
    )


def bodies(frames: list[bytes]) -> list[object]:
    return [msgspec.json.decode(frame)["body"] for frame in frames]


def test_each_process_pushes_to_its_own_subscribers_once(wait_until: WaitUntil) -> None:
    bus = SharedBus()
    bus.start()
    hubs = [PushHub(bus, ADDRESS, f"process-{number}") for number in range(2)]
    received: list[list[bytes]] = [[], []]
    for hub, frames in zip(hubs, received, strict=True):
        hub.start()
        hub.subscribe(KEY, "s", frames.append)
    hubs[0].announce(KEY, [message("1"), message("2")])
    hubs[1].announce(KEY, [message("3")])
    wait_until(lambda: all(len(frames) >= 3 for frames in received))
    assert [sorted(bodies(frames)) for frames in received] == [[1, 2, 3], [1, 2, 3]]  # type: ignore[type-var]
    for hub in hubs:
        hub.stop(5.0)
    bus.stop(1.0)


def test_a_subscriber_that_fails_does_not_cost_the_others_theirs(wait_until: WaitUntil) -> None:
    hub = PushHub(MemoryTransport(), ADDRESS, "here")
    frames: list[bytes] = []

    def fail(_frame: bytes) -> None:
        raise OSError("gone")

    hub.subscribe(KEY, "broken", fail)
    hub.subscribe(KEY, "sound", frames.append)
    hub.start()
    hub.announce(KEY, [message('"x"')])
    wait_until(lambda: len(frames) == 1)
    assert msgspec.json.decode(frames[0]) == {
        "body": "x",
        "ttl": 60,
        "queue_name": "news",
        "Message_Type": "Notification",
    }
    hub.stop(5.0)


def test_a_push_brings_what_the_poster_added(wait_until: WaitUntil) -> None:
    hub = PushHub(MemoryTransport(), ADDRESS, "here")
    frames: list[bytes] = []
    hub.subscribe(KEY, "s", frames.append)
    hub.start()
    added = msgspec.structs.replace(message("1"), group="a", attributes=b'{"ce-type":"x"}')
    hub.announce(KEY, [added])
    wait_until(lambda: len(frames) == 1)
    frame = msgspec.json.decode(frames[0])
    assert (frame["group"], frame["attributes"]) == ("a", {"ce-type": "x"})
    hub.stop(5.0)


def test_announcing_never_waits_even_when_nobody_works_the_line() -> None:
    hub = PushHub(MemoryTransport(), ADDRESS, "not started")
    hub.subscribe(KEY, "s", lambda _frame: None)
    for _ in range(10_050):
        hub.announce(KEY, [message("1")])


@pytest.fixture
def subscriptions(api: MessagingApi) -> ConnectionSubscriptions:
    hub = PushHub(MemoryTransport(), ADDRESS, "here")
    desk = api.operations.desk
    following = Following(desk.stores.messages, desk.now, hub.arrivals)
    nowhere = PushLine(lambda _frame: None, lambda _frame: True)
    return ConnectionSubscriptions(desk, hub, following, nowhere, most=2)


def test_a_subscription_ends_with_its_life(
    subscriptions: ConnectionSubscriptions, context: RequestContext, clock: FakeClock
) -> None:
    made = subscriptions.create(context, "news", 60)
    clock.advance(59)
    present = subscriptions.find(context, "news", made.id)
    assert present is not None
    assert present.age(clock.now()) == 59
    clock.advance(1)
    assert subscriptions.find(context, "news", made.id) is None


def test_subscribing_again_renews(
    subscriptions: ConnectionSubscriptions, context: RequestContext, clock: FakeClock
) -> None:
    made = subscriptions.create(context, "news", 60)
    clock.advance(59)
    assert subscriptions.create(context, "news", 100).id == made.id
    clock.advance(99)
    assert len(subscriptions.page(context, "news")) == 1


def test_a_connection_has_only_so_many(
    subscriptions: ConnectionSubscriptions, context: RequestContext
) -> None:
    first = subscriptions.create(context, "a")
    subscriptions.create(context, "b")
    with pytest.raises(LimitExceeded):
        subscriptions.create(context, "c")
    subscriptions.delete(context, "a", first.id)
    subscriptions.delete(context, "a", "unknown")
    subscriptions.create(context, "c")
