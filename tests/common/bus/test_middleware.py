"""Middleware: the order of hooks, and each of those that come with the bus."""

import logging
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from kilo_common.bus.dispatcher import Endpoint, rpc
from kilo_common.bus.envelope import Notification
from kilo_common.bus.errors import BusUnavailable, RateLimited, RemoteError
from kilo_common.bus.middleware.base import Incoming, Middleware, Outgoing
from kilo_common.bus.middleware.dead_letter import DeadLetter
from kilo_common.bus.middleware.logs import LogMessages
from kilo_common.bus.middleware.metrics import Metrics
from kilo_common.bus.middleware.rate_limit import RateLimit
from kilo_common.bus.middleware.tracing import Span, Tracing
from kilo_common.bus.target import Target
from kilo_common.bus.verdict import Verdict
from kilo_common.context import RequestContext
from kilo_common.testing.bus import BusForTests
from kilo_common.testing.clock import FakeClock

CONTEXT = RequestContext(project_id="p1")
TARGET = Target("works")


class Worker(Endpoint):
    def __init__(self) -> None:
        self.contexts: list[RequestContext] = []

    @rpc
    def work(self, context: RequestContext) -> str:
        self.contexts.append(context)
        return "done"

    @rpc
    def fail(self, context: RequestContext) -> None:
        raise RuntimeError("broken")


@pytest.fixture
def bus() -> Iterator[BusForTests]:
    with BusForTests() as bus:
        yield bus


class Witness(Middleware):
    def __init__(self, name: str, seen: list[str]) -> None:
        self._name = name
        self._seen = seen

    def before_publish(self, outgoing: Outgoing) -> None:
        self._seen.append(f"{self._name} publishes {outgoing.kind.value}")
        outgoing.headers["way"] = outgoing.headers.get("way", "") + self._name

    def after_publish(self, outgoing: Outgoing, error: Exception | None) -> None:
        self._seen.append(f"{self._name} published {error}")

    def before_handle(self, incoming: Incoming) -> None:
        self._seen.append(f"{self._name} handles {incoming.name} {incoming.headers['way']}")

    def after_handle(self, incoming: Incoming, verdict: Verdict) -> None:
        self._seen.append(f"{self._name} handled {verdict.outcome.value}")

    def on_failure(self, incoming: Incoming, error: Exception) -> Verdict | None:
        self._seen.append(f"{self._name} failed {error}")
        return None


def test_hooks_run_inwards_before_and_outwards_after(bus: BusForTests) -> None:
    seen: list[str] = []
    both = (Witness("a", seen), Witness("b", seen))
    bus.listen(lambda _each: None, middleware=both)
    bus.notifier(middleware=both).info(CONTEXT, "n", {})
    assert seen == [
        "a publishes notification", "b publishes notification",
        "a handles n ab", "b handles n ab", "b handled done", "a handled done",
        "b published None", "a published None",
    ]  # fmt: skip


def test_a_failure_is_told_instead_of_the_end(bus: BusForTests) -> None:
    seen: list[str] = []
    bus.serve(TARGET, Worker(), middleware=[Silent(), Witness("a", seen)])
    client = bus.client(TARGET, middleware=[Witness("c", [])])
    with pytest.raises(RemoteError):
        client.call(CONTEXT, "fail")
    assert [each for each in seen if "publish" not in each] == [
        "a handles fail c",
        "a failed broken",
    ]


class Silent(Middleware):
    """Overrides nothing."""


def test_a_publish_that_fails_is_told_of(bus: BusForTests) -> None:
    seen: list[str] = []
    bus.transport.stop(1)
    with pytest.raises(BusUnavailable):
        bus.notifier(middleware=[Witness("a", seen)]).info(CONTEXT, "n", {})
    assert seen == ["a publishes notification", "a published The in-memory bus is stopped"]


def test_metrics_count_by_kind_and_result(bus: BusForTests) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    bus.serve(TARGET, Worker(), middleware=[metrics])
    client = bus.client(TARGET, middleware=[metrics])
    client.call(CONTEXT, "work")
    client.cast(CONTEXT, "fail")

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"kilo_bus_{name}", labels)

    assert value("published_total", kind="call", result="done") == 1
    assert value("published_total", kind="reply", result="done") == 1
    assert value("handled_total", kind="call", result="done") == 1
    assert value("handled_total", kind="cast", result="failed") == 1
    assert value("handle_seconds_count", kind="call") == 1
    assert value("in_hand", kind="call") == value("in_hand", kind="cast") == 0


def test_a_trace_goes_on_from_caller_to_method(bus: BusForTests) -> None:
    spans: list[Span] = []
    clock = FakeClock()
    tracing = Tracing(spans.append, clock)
    worker = Worker()
    bus.serve(TARGET, worker, middleware=[tracing])
    bus.client(TARGET, middleware=[tracing]).call(CONTEXT, "work")
    bus.client(TARGET, middleware=[tracing]).cast({}, "fail")
    handled, published, failed, begun = spans
    assert [each.name for each in spans] == [
        "handle work", "publish work", "handle fail", "publish fail",
    ]  # fmt: skip
    assert published.parent == CONTEXT.traceparent
    assert handled.parent == published.traceparent
    assert {each.traceparent[:36] for each in (handled, published)} == {CONTEXT.traceparent[:36]}
    assert worker.contexts[0].traceparent[:36] == CONTEXT.traceparent[:36]
    assert begun.parent is None
    assert (failed.parent, failed.error) == (begun.traceparent, "RuntimeError: broken")


def test_messages_are_logged_without_what_is_in_them(
    bus: BusForTests, caplog: pytest.LogCaptureFixture
) -> None:
    logs = LogMessages()
    bus.listen(lambda _each: None, middleware=[logs])
    with caplog.at_level(logging.INFO):
        bus.notifier(middleware=[logs]).info(CONTEXT, "image.test", {"password": "hunter2"})
    handled, sent = [each.getMessage() for each in caplog.records]
    assert sent == "sent notification image.test to notifications.info"
    assert handled.startswith("notification image.test (")
    assert "hunter2" not in caplog.text


def test_what_exceeds_a_rate_waits_its_turn(bus: BusForTests) -> None:
    waits: list[float] = []
    clock = FakeClock()
    limit = RateLimit(publish=10, burst=2, clock=clock, patience=0.25, sleep=waits.append)
    notifier = bus.notifier(middleware=[limit])
    for _ in range(4):
        notifier.info(CONTEXT, "n", {})
    assert waits == [0, 0, pytest.approx(0.1), pytest.approx(0.2)]
    with pytest.raises(RateLimited):
        notifier.info(CONTEXT, "n", {})
    clock.advance(1)
    notifier.info(CONTEXT, "n", {})
    assert waits[-1] == 0


def test_work_is_held_up_by_a_rate_of_handling(bus: BusForTests) -> None:
    waits: list[float] = []
    limit = RateLimit(handle=2, clock=FakeClock(), sleep=waits.append)
    bus.listen(lambda _each: None, middleware=[limit])
    for _ in range(3):
        bus.notifier().info(CONTEXT, "n", {})
    assert waits == [0, 0.5, 1.0]


def test_a_notification_that_keeps_failing_ends_among_the_dead_letters() -> None:
    tries: list[str] = []

    def handle(notification: Notification) -> None:
        tries.append(notification.event_type)
        if notification.event_type == "poison":
            raise ValueError("cannot")

    with BusForTests(stepped=True) as bus:
        bus.listen(handle, middleware=[DeadLetter(attempts=3)])
        bus.notifier().info(CONTEXT, "poison", {})
        bus.notifier().info(CONTEXT, "good", {})
        bus.run()
        assert tries == ["poison"] * 3 + ["good"]
        (dead,) = bus.dead_letters()
    assert dead.message["event_type"] == "poison"
    assert dead.reason == "failed 3 times; at last: ValueError: cannot"


def test_a_cast_that_keeps_failing_is_buried_and_a_call_is_answered() -> None:
    with BusForTests(stepped=True) as bus:
        bus.serve(TARGET, Worker(), middleware=[DeadLetter(attempts=2)])
        bus.client(TARGET).cast(CONTEXT, "fail")
        assert bus.run() == 2
        assert [each.message["method"] for each in bus.dead_letters()] == ["fail"]
    with BusForTests() as bus:
        bus.serve(TARGET, Worker(), middleware=[DeadLetter(attempts=2)])
        with pytest.raises(RemoteError):
            bus.client(TARGET).call(CONTEXT, "fail")
        assert bus.dead_letters() == []


def test_failures_that_the_broker_counted_count() -> None:
    def fail(_notification: Notification) -> None:
        raise ValueError("cannot")

    with BusForTests(stepped=True) as bus:
        bus.listen(fail, middleware=[DeadLetter(attempts=5)])
        address = Target("notifications.info").topic_address
        bus.transport.publish(
            address, b'{"event_type": "poison"}', headers={"x-delivery-count": "4"}
        )
        assert bus.run() == 1
        assert len(bus.dead_letters()) == 1
