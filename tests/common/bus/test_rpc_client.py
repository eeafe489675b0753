"""The RPC client: prepared calls, versions, time-outs, monitoring, retries, stopping."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from contracts.transport import Inbox
from kilo_common.bus.dispatcher import Endpoint, RequestInfo, rpc
from kilo_common.bus.envelope import Reply, Request, unwrap, wrap
from kilo_common.bus.errors import (
    BusUnavailable,
    CallAborted,
    CallTimeout,
    NoRoute,
    RemoteError,
    TargetInvalid,
    VersionTooNew,
)
from kilo_common.bus.memory import MemoryTransport
from kilo_common.bus.remote import dump_failure, load_failure
from kilo_common.bus.retry import RetryPolicy
from kilo_common.bus.rpc_client import RpcClient
from kilo_common.bus.rpc_server import RpcServer
from kilo_common.bus.target import Address, Kind, Target
from kilo_common.bus.transport import Deliver
from kilo_common.context import RequestContext
from kilo_common.ids import random_id
from kilo_common.testing.bus import BusForTests

CONTEXT = RequestContext(project_id="p1")
TARGET = Target("calc")


class Point(msgspec.Struct, frozen=True):
    x: int
    y: int


class Plain(Endpoint):
    version = "1.2"

    def __init__(self) -> None:
        self.noted: list[str] = []
        self.free = threading.Event()
        self.begun = threading.Event()

    @rpc
    def move(self, context: RequestContext, point: Point, by: int = 1) -> Point:
        return Point(point.x + by, point.y)

    @rpc
    def sleep(self, context: RequestContext, timeout: float) -> float:
        return timeout

    @rpc
    def note(self, context: RequestContext, info: RequestInfo, text: str) -> str:
        self.noted.append(text)
        return f"{info.method} {info.is_call} {info.redelivered}"

    @rpc
    def block(self, context: RequestContext) -> str:
        self.begun.set()
        self.free.wait(10)
        return "done"


class Admin(Plain):
    namespace = "admin"
    version = "2.0"


@pytest.fixture
def bus() -> Iterator[BusForTests]:
    with BusForTests() as bus:
        yield bus


def test_typed_arguments_and_results_travel_as_json(bus: BusForTests) -> None:
    bus.serve(TARGET, Plain())
    client = bus.client(TARGET)
    assert client.call(CONTEXT, "move", point=Point(1, 2), by=3) == {"x": 4, "y": 2}
    assert client.call(CONTEXT, "move", {"point": {"x": 1, "y": 2}}) == {"x": 2, "y": 2}


def test_an_argument_named_like_a_parameter_goes_into_the_mapping(bus: BusForTests) -> None:
    bus.serve(TARGET, Plain())
    assert bus.client(TARGET).call(CONTEXT, "sleep", {"timeout": 2.5}, timeout=5) == 2.5


def test_a_prepared_client_goes_elsewhere_and_the_first_stays_as_it_is(bus: BusForTests) -> None:
    one, two, admin = Plain(), Plain(), Admin()
    bus.serve(TARGET.with_(server="one"), one, admin)
    bus.serve(TARGET.with_(server="two"), two)
    client = bus.client(TARGET)
    client.prepare(server="two").cast(CONTEXT, "note", text="to two")
    client.prepare(fanout=True).cast(CONTEXT, "note", text="to all")
    client.prepare(namespace="admin", version="2.0", server="one").cast(CONTEXT, "note", text="x")
    assert two.noted == ["to two", "to all"]
    assert one.noted == ["to all"]
    assert admin.noted == ["x"]
    assert client.target == TARGET


def test_a_method_is_told_how_its_request_came(bus: BusForTests) -> None:
    bus.serve(TARGET, Plain())
    assert bus.client(TARGET).call(CONTEXT, "note", text="hello") == "note True False"


@pytest.mark.parametrize(
    ("cap", "version", "may"),
    [(None, "9.0", True), ("1.2", "1.2", True), ("1.2", "1.3", False), ("1.2", "2.0", False)],
)
def test_a_version_cap_bounds_what_is_sent(
    bus: BusForTests, cap: str | None, version: str, may: bool
) -> None:
    endpoint = Plain()
    endpoint.version = version
    bus.serve(TARGET, endpoint)
    client = bus.client(TARGET, version_cap=cap).prepare(version=version)
    assert client.can_send_version() is may
    assert client.can_send_version("1.0") is True
    if may:
        client.call(CONTEXT, "note", text="sent")
        return
    with pytest.raises(VersionTooNew):
        client.call(CONTEXT, "note", text="not sent")
    with pytest.raises(VersionTooNew):
        client.cast(CONTEXT, "note", text="not sent")
    assert endpoint.noted == []


def test_a_call_to_all_servers_is_refused(bus: BusForTests) -> None:
    with pytest.raises(TargetInvalid):
        bus.client(TARGET).prepare(fanout=True).call(CONTEXT, "note", text="x")


@pytest.fixture
def transport() -> Iterator[MemoryTransport]:
    transport = MemoryTransport()
    transport.start()
    yield transport
    transport.stop(5)


@pytest.fixture
def silent(transport: MemoryTransport) -> Inbox:
    """A server that takes requests and does not answer."""
    inbox = Inbox()
    transport.consume(TARGET.topic_address, inbox)
    return inbox


def client_of(transport: MemoryTransport, **options: Any) -> RpcClient:
    return RpcClient(transport, TARGET, new_id=random_id, **options)


def call_beside(client: RpcClient, method: str = "block") -> tuple[threading.Thread, list[Any]]:
    """A call in a thread of its own, and the list that gets its result or error."""
    outcome: list[Any] = []

    def call() -> None:
        try:
            outcome.append(client.call(CONTEXT, method))
        except Exception as error:  # noqa: BLE001 - the test looks at it
            outcome.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    return thread, outcome


def answer(transport: MemoryTransport, request: Request, **reply: Any) -> None:
    assert request.reply_to is not None
    assert request.message_id is not None
    address = Address(Kind.REPLY, "", request.reply_to)
    transport.publish(address, wrap(Reply(request.message_id, **reply).to_message()))


def taken(silent: Inbox) -> Request:
    delivery = silent.next()
    delivery.ack()
    return Request.from_message(unwrap(delivery.body))


def test_a_time_out_says_that_the_method_may_have_run(
    transport: MemoryTransport, silent: Inbox
) -> None:
    client = client_of(transport).prepare(timeout=0.05)
    with pytest.raises(CallTimeout, match=r"did not answer block within 0\.05 s") as caught:
        client.call(CONTEXT, "block")
    assert caught.value.may_have_run


def test_a_broker_that_gives_no_reply_queue_keeps_no_call_beyond_its_time_out() -> None:
    free = threading.Event()

    class Stuck(MemoryTransport):
        def consume(self, address: Address, deliver: Deliver, **rest: Any) -> Any:
            free.wait(10)
            return super().consume(address, deliver, **rest)

    began = time.monotonic()
    with pytest.raises(CallTimeout, match="nothing was sent") as caught:
        client_of(Stuck(), timeout=0.1).call(CONTEXT, "block")
    assert time.monotonic() - began < 0.6
    assert not caught.value.may_have_run
    free.set()


def test_calls_that_wait_fail_at_once_when_the_client_stops(
    transport: MemoryTransport, silent: Inbox
) -> None:
    client = client_of(transport, timeout=30)
    thread, outcome = call_beside(client)
    taken(silent)
    client.stop(1)
    thread.join(5)
    assert isinstance(outcome[0], CallAborted)
    assert outcome[0].may_have_run
    with pytest.raises(CallAborted) as caught:
        client.prepare(timeout=1).call(CONTEXT, "block")
    assert not caught.value.may_have_run


def test_a_monitored_call_ends_when_nothing_is_heard_of_it(
    transport: MemoryTransport, silent: Inbox
) -> None:
    client = client_of(transport, timeout=30, call_monitor_timeout=0.2)
    began = time.monotonic()
    with pytest.raises(CallTimeout, match=r"was not heard of for 0\.2 s"):
        client.call(CONTEXT, "block")
    assert time.monotonic() - began < 1.0
    assert taken(silent).monitor == 0.2


def test_a_server_at_work_keeps_a_monitored_call_alive(transport: MemoryTransport) -> None:
    endpoint = Plain()
    server = RpcServer(transport, TARGET, [endpoint], new_id=random_id)
    server.start()
    client = client_of(transport, timeout=30, call_monitor_timeout=0.2)
    thread, outcome = call_beside(client)
    assert endpoint.begun.wait(5)
    thread.join(0.7)  # several times as long as the call may be silent
    assert outcome == []
    endpoint.free.set()
    thread.join(5)
    assert outcome == ["done"]
    endpoint.free.clear()
    with pytest.raises(CallTimeout, match=r"did not answer block within 0\.3 s"):
        client.call(CONTEXT, "block", timeout=0.3)
    endpoint.free.set()
    server.stop(5)


def test_the_old_double_reply_is_understood(transport: MemoryTransport, silent: Inbox) -> None:
    thread, outcome = call_beside(client_of(transport))
    request = taken(silent)
    answer(transport, request, ending=False)
    answer(transport, request, result=7, ending=False)
    answer(transport, request, ending=True)
    thread.join(5)
    assert outcome == [7]


def test_a_reply_that_is_no_reply_disturbs_nobody(
    transport: MemoryTransport, silent: Inbox
) -> None:
    thread, outcome = call_beside(client_of(transport))
    request = taken(silent)
    assert request.reply_to is not None
    transport.publish(Address(Kind.REPLY, "", request.reply_to), b"nonsense")
    transport.publish(
        Address(Kind.REPLY, "", request.reply_to), wrap(Reply("unknown").to_message())
    )
    answer(transport, request, result="good")
    thread.join(5)
    assert outcome == ["good"]


class Flaky(MemoryTransport):
    """Fails so many times, each time saying whether the message may be on its way."""

    def __init__(self, failures: int, *, uncertain: bool) -> None:
        super().__init__()
        self.failures = failures
        self.uncertain = uncertain
        self.attempts = 0

    def publish(self, address: Address, body: bytes, **rest: Any) -> None:
        self.attempts += 1
        if self.attempts <= self.failures:
            raise BusUnavailable("down", may_have_been_published=self.uncertain)
        super().publish(address, body, **rest)


def test_a_publish_that_did_not_go_out_is_tried_again() -> None:
    pauses: list[float] = []
    transport = Flaky(2, uncertain=False)
    client = client_of(transport, retry=RetryPolicy(attempts=3, sleep=pauses.append))
    client.cast(CONTEXT, "note", text="x")
    assert transport.attempts == 3
    assert 0.25 <= pauses[0] <= 0.5 <= pauses[1] <= 1.0


def test_the_last_attempt_of_a_policy_raises() -> None:
    transport = Flaky(9, uncertain=False)
    client = client_of(transport, retry=RetryPolicy(attempts=2, sleep=lambda _pause: None))
    with pytest.raises(BusUnavailable):
        client.cast(CONTEXT, "note", text="x")
    assert transport.attempts == 2


def test_a_request_that_may_have_gone_out_is_never_sent_again() -> None:
    transport = Flaky(1, uncertain=True)
    client = client_of(transport, retry=RetryPolicy(attempts=None))
    with pytest.raises(BusUnavailable):
        client.call(CONTEXT, "note", text="x")
    assert transport.attempts == 1


def test_retries_end_with_the_calls_time_out() -> None:
    transport = Flaky(10**6, uncertain=False)
    policy = RetryPolicy(attempts=None, first_pause=0.02, greatest_pause=0.02)
    began = time.monotonic()
    with pytest.raises(BusUnavailable):
        client_of(transport, timeout=0.2, retry=policy).call(CONTEXT, "note", text="x")
    assert time.monotonic() - began < 1.0


def test_registered_foreign_errors_are_rebuilt_and_others_are_data() -> None:
    registered = {"builtins.ValueError": ValueError}
    failure = {"class": "ValueError_Remote", "module": "exceptions_Remote", "args": ["bad"]}
    rebuilt = load_failure(msgspec.json.encode(failure).decode(), registered)
    assert isinstance(rebuilt, ValueError)
    assert rebuilt.args == ("bad",)
    other = load_failure(dump_failure(KeyError("k")), registered)
    assert isinstance(other, RemoteError)
    assert other.remote_code == "builtins.KeyError"
    assert "traceback" not in other.details


def test_a_traceback_travels_only_when_told_to() -> None:
    try:
        raise RuntimeError("deep")
    except RuntimeError as error:
        told = load_failure(dump_failure(error, with_traceback=True), {})
    assert isinstance(told, RemoteError)
    assert "test_rpc_client.py" in told.details["traceback"]


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 5000])
def test_a_failure_that_cannot_be_read_is_an_error_of_ours(text: str) -> None:
    assert load_failure(text, {}).args


def test_a_call_to_nobody_is_known_at_once(transport: MemoryTransport) -> None:
    with pytest.raises(NoRoute):
        client_of(transport).call(CONTEXT, "note", text="x")
