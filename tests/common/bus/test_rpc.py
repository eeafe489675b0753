"""RPC and notifications over a transport: what callers and listeners can rely on."""

import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import msgspec
import pytest

from kilo_common.bus.connect import open_transport
from kilo_common.bus.dispatcher import Endpoint, rpc
from kilo_common.bus.envelope import Notification, Request, unwrap, wrap
from kilo_common.bus.errors import (
    ArgumentsInvalid,
    CallTimeout,
    EnvelopeInvalid,
    NoRoute,
    NoSuchMethod,
    RemoteError,
    UnsupportedVersion,
)
from kilo_common.bus.listener import NotificationListener
from kilo_common.bus.notifier import Notifier
from kilo_common.bus.rpc_client import RpcClient
from kilo_common.bus.rpc_server import RpcServer
from kilo_common.bus.target import Target, accepts
from kilo_common.bus.transport import Transport
from kilo_common.clock import SystemClock
from kilo_common.context import RequestContext
from kilo_common.errors import NotFound
from kilo_common.ids import random_id

CONTEXT = RequestContext(project_id="p1", user_id="u1", roles=("member",))


class ThingMissing(NotFound):
    code = "test.thing_missing"


class Calculator(Endpoint):
    version = "1.2"

    def __init__(self) -> None:
        self.seen: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self.blocked = threading.Event()

    @rpc
    def add(self, context: RequestContext, a: int, b: int = 1) -> int:
        self.seen.put(("add", context.project_id))
        return a + b

    @rpc
    def fail(self, context: RequestContext, how: str) -> None:
        if how == "known":
            raise ThingMissing("No such thing", thing_id="t1")
        raise RuntimeError("secret path /etc")

    @rpc
    def block(self, context: RequestContext) -> None:
        self.blocked.wait(10)

    @rpc(once=True)
    def note(self, context: RequestContext, text: str) -> None:
        self.seen.put(("note", text))

    def hidden(self, context: RequestContext) -> str:
        return "not for callers"


@pytest.fixture(params=["memory://", "zmq://", pytest.param("rabbit", marks=pytest.mark.services)])
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    url = request.param
    if url == "rabbit":
        url = request.getfixturevalue("rabbit_url")
    transport = open_transport(url)
    transport.start()
    yield transport
    transport.stop(10)


@pytest.fixture
def target() -> Target:
    return Target(f"calc-{random_id()}", exchange="kilo-test", server="one", version="1.1")


@pytest.fixture
def calculator(transport: Transport, target: Target) -> Iterator[Calculator]:
    endpoint = Calculator()
    server = RpcServer(transport, target, [endpoint], new_id=random_id, workers=2)
    server.start()
    yield endpoint
    endpoint.blocked.set()
    server.stop(5)


@pytest.fixture
def client(transport: Transport, target: Target) -> Iterator[RpcClient]:
    client = RpcClient(
        transport, target.with_(server=None), new_id=random_id, timeout=10, errors=[ThingMissing]
    )
    yield client
    client.stop(1)


def test_a_call_returns_the_result_and_carries_the_context(
    calculator: Calculator, client: RpcClient
) -> None:
    assert client.call(CONTEXT, "add", a=2, b=3) == 5
    assert client.call(CONTEXT, "add", a=2) == 3
    assert calculator.seen.get(timeout=5) == ("add", "p1")


def test_a_registered_error_is_raised_as_itself(calculator: Calculator, client: RpcClient) -> None:
    with pytest.raises(ThingMissing, match="No such thing") as caught:
        client.call(CONTEXT, "fail", how="known")
    assert caught.value.details["thing_id"] == "t1"


def test_another_error_arrives_as_data_without_a_traceback(
    calculator: Calculator, client: RpcClient
) -> None:
    with pytest.raises(RemoteError) as caught:
        client.call(CONTEXT, "fail", how="unknown")
    assert caught.value.remote_code == "builtins.RuntimeError"


@pytest.mark.parametrize("args", [{}, {"a": "two"}, {"a": 1, "c": 2}])
def test_wrong_arguments_are_refused_before_the_method_runs(
    calculator: Calculator, client: RpcClient, args: dict[str, Any]
) -> None:
    with pytest.raises(ArgumentsInvalid, match="add"):
        client.call(CONTEXT, "add", **args)
    assert calculator.seen.empty()


@pytest.mark.parametrize("method", ["hidden", "__init__", "nothing"])
def test_what_is_not_marked_does_not_exist(
    calculator: Calculator, client: RpcClient, method: str
) -> None:
    with pytest.raises(NoSuchMethod):
        client.call(CONTEXT, method)


def test_a_newer_version_than_served_is_refused(
    calculator: Calculator, transport: Transport, target: Target
) -> None:
    newer = RpcClient(
        transport, target.with_(server=None, version="1.3"), new_id=random_id, timeout=10
    )
    with pytest.raises(UnsupportedVersion):
        newer.call(CONTEXT, "add", a=1)
    newer.stop(1)


def test_a_call_that_is_not_answered_times_out(calculator: Calculator, client: RpcClient) -> None:
    with pytest.raises(CallTimeout, match="may have run"):
        client.call(CONTEXT, "block", timeout=0.3)


def test_a_call_to_nobody_fails_at_once(transport: Transport) -> None:
    nobody = RpcClient(
        transport, Target(f"nobody-{random_id()}", exchange="kilo-test"), new_id=random_id
    )
    with pytest.raises(NoRoute):
        nobody.call(CONTEXT, "add", a=1)
    nobody.stop(1)


def test_a_cast_runs_once_and_a_fanout_at_every_server(
    transport: Transport, target: Target, calculator: Calculator, client: RpcClient
) -> None:
    other = Calculator()
    second = RpcServer(transport, target.with_(server="two"), [other], new_id=random_id)
    second.start()
    client.fanout(CONTEXT, "note", text="to all")
    assert calculator.seen.get(timeout=5) == ("note", "to all")
    assert other.seen.get(timeout=5) == ("note", "to all")
    second.stop(5)
    client.cast(CONTEXT, "note", text="to one")
    assert calculator.seen.get(timeout=5) == ("note", "to one")


def test_a_request_with_a_known_unique_id_is_not_run_twice(
    transport: Transport, target: Target, calculator: Calculator
) -> None:
    request = Request("note", {"text": "once"}, CONTEXT.to_dict(), unique_id="same", version="1.1")
    body = wrap(request.to_message())
    transport.publish(target.topic_address, body)
    assert calculator.seen.get(timeout=5) == ("note", "once")
    transport.publish(target.topic_address, body)
    transport.publish(
        target.topic_address,
        wrap(Request("note", {"text": "next"}, {}, unique_id="other").to_message()),
    )
    assert calculator.seen.get(timeout=5) == ("note", "next")


def test_a_notification_reaches_a_listener_in_every_pool(transport: Transport) -> None:
    topic = f"notes-{random_id()}"
    pools: dict[str, SimpleQueue[Notification]] = {"a": SimpleQueue(), "b": SimpleQueue()}
    listeners = [
        NotificationListener(
            transport, inbox.put, topic=topic, exchange="kilo-test", pool=f"{topic}-{name}"
        )
        for name, inbox in pools.items()
    ]
    for listener in listeners:
        listener.start()
    notifier = Notifier(
        transport,
        "image.test",
        clock=SystemClock(),
        new_id=random_id,
        topic=topic,
        exchange="kilo-test",
    )
    message_id = notifier.notify(CONTEXT, "image.activate", {"id": "i1"})
    for inbox in pools.values():
        got = inbox.get(timeout=5)
        assert (got.event_type, got.message_id, got.priority) == (
            "image.activate",
            message_id,
            "INFO",
        )
        assert got.payload == {"id": "i1"}
        assert got.context["project_id"] == "p1"
    for listener in listeners:
        listener.stop(5)


def test_a_notification_that_could_not_be_handled_comes_again(transport: Transport) -> None:
    topic = f"notes-{random_id()}"
    tries: SimpleQueue[str] = SimpleQueue()
    failed = threading.Event()

    def handle(notification: Notification) -> None:
        tries.put(notification.message_id)
        if not failed.is_set():
            failed.set()
            raise RuntimeError("not yet")

    listener = NotificationListener(transport, handle, topic=topic, exchange="kilo-test")
    listener.start()
    notifier = Notifier(
        transport,
        "image.test",
        clock=SystemClock(),
        new_id=random_id,
        topic=topic,
        exchange="kilo-test",
    )
    notifier.notify(CONTEXT, "image.create", {})
    assert tries.get(timeout=5) == tries.get(timeout=5)
    listener.stop(5)


def test_the_envelope_is_json_within_json() -> None:
    body = wrap({"method": "add", "args": {"a": 1}})
    outer = msgspec.json.decode(body)
    assert outer["oslo.version"] == "2.0"
    assert msgspec.json.decode(outer["oslo.message"]) == {"method": "add", "args": {"a": 1}}
    assert unwrap(b'{"method": "bare"}') == {"method": "bare"}


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"\xff", b'{"oslo.version": "3.0", "oslo.message": "{}"}', b"[" * 5000],
)
def test_what_is_no_envelope_is_refused(body: bytes) -> None:
    with pytest.raises(EnvelopeInvalid):
        unwrap(body)


@pytest.mark.parametrize(
    ("served", "asked", "good"),
    [("1.2", "1.0", True), ("1.2", "1.2", True), ("1.2", "1.3", False), ("1.2", "2.0", False)],
)
def test_a_server_accepts_its_major_version_up_to_its_minor(
    served: str, asked: str, good: bool
) -> None:
    assert accepts(served, asked) is good
