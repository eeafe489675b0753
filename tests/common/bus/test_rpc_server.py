"""The RPC server: duplicates, expected errors, what a stop finishes, its executors."""

import logging
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from contracts.transport import Inbox
from kilo_common.bus.dispatcher import Endpoint, RequestInfo, rpc
from kilo_common.bus.envelope import Request, unwrap, wrap
from kilo_common.bus.errors import ArgumentsInvalid, BusUnavailable, EnvelopeInvalid, RemoteError
from kilo_common.bus.executors import open_executor
from kilo_common.bus.memory import MemoryTransport
from kilo_common.bus.rpc_client import RpcClient
from kilo_common.bus.rpc_server import RpcServer
from kilo_common.bus.serializer import MappingContextSerializer
from kilo_common.bus.target import Address, Kind, Target
from kilo_common.bus.transport import Deliver, Delivery
from kilo_common.context import RequestContext
from kilo_common.errors import ConfigInvalid, Failure, NotFound
from kilo_common.ids import random_id
from kilo_common.testing.bus import BusForTests

CONTEXT = RequestContext(project_id="p1")
TARGET = Target("works", server="one")


class Broken(Failure):
    code = "test.broken"


class Worker(Endpoint):
    def __init__(self) -> None:
        self.runs: list[str] = []
        self.begun: SimpleQueue[str] = SimpleQueue()
        self.free = threading.Event()

    @rpc(once=True)
    def charge(self, context: RequestContext, what: str) -> int:
        self.runs.append(what)
        return len(self.runs)

    @rpc
    def often(self, context: RequestContext, info: RequestInfo, what: str) -> bool:
        self.runs.append(what)
        return info.redelivered

    @rpc(expected_exceptions=[KeyError])
    def fail(self, context: RequestContext, how: str) -> None:
        raise {"expected": KeyError("k"), "missing": NotFound("n"), "bug": ValueError("v")}.get(
            how, Broken("ours")
        )

    @rpc
    def block(self, context: RequestContext, name: str) -> None:
        self.begun.put(name)
        self.free.wait(10)
        self.runs.append(name)


def request(method: str, unique_id: str, **args: Any) -> Request:
    return Request(method, args, CONTEXT.to_dict(), unique_id=unique_id)


@pytest.fixture
def bus() -> Iterator[BusForTests]:
    with BusForTests() as bus:
        yield bus


def replies_to(bus: BusForTests, name: str) -> list[Any]:
    found: list[Any] = []

    def take(delivery: Delivery) -> None:
        found.append(unwrap(delivery.body)["result"])
        delivery.ack()

    bus.transport.consume(Address(Kind.REPLY, "", name), take)
    return found


def test_a_duplicate_of_a_method_that_asks_for_it_gets_the_first_answer(bus: BusForTests) -> None:
    worker = Worker()
    bus.serve(TARGET, worker)
    answers = replies_to(bus, "reply_test")
    for message_id in ("m1", "m2"):
        call = Request(
            *("charge", {"what": "card"}, CONTEXT.to_dict()),
            message_id=message_id,
            reply_to="reply_test",
            unique_id="same",
        )
        bus.publish(TARGET.topic_address, call)
    bus.publish(TARGET.topic_address, request("charge", "other", what="cash"))
    assert worker.runs == ["card", "cash"]
    assert answers == [1, 1]


def test_a_method_that_does_not_ask_runs_for_every_copy(bus: BusForTests) -> None:
    worker = Worker()
    bus.serve(TARGET, worker)
    for _ in range(2):
        bus.publish(TARGET.topic_address, request("often", "same", what="x"))
    assert worker.runs == ["x", "x"]


def test_a_duplicate_of_a_request_at_work_waits_for_it() -> None:
    transport = MemoryTransport()
    begun, free, runs = threading.Event(), threading.Event(), SimpleQueue[str]()

    class Slow(Endpoint):
        @rpc(once=True)
        def charge(self, context: RequestContext, what: str) -> None:
            runs.put(what)
            begun.set()
            free.wait(10)

    server = RpcServer(transport, TARGET, [Slow()], new_id=random_id)
    server.start()
    for _ in range(2):
        body = wrap(request("charge", "same", what="card").to_message())
        transport.publish(TARGET.topic_address, body)
    assert begun.wait(5)
    free.set()
    server.stop(5)
    assert runs.qsize() == 1
    assert [(len(each.waiting), len(each.in_hand)) for each in transport.look()] == [(0, 0)] * 2


def test_a_redelivered_request_is_marked_for_its_method(bus: BusForTests) -> None:
    held = Inbox()
    consumer = bus.transport.consume(TARGET.topic_address, held)
    answers = replies_to(bus, "reply_test")
    call = Request("often", {"what": "x"}, CONTEXT.to_dict(), message_id="m", reply_to="reply_test")
    bus.publish(TARGET.topic_address, call)
    consumer.cancel()
    held.next().requeue()
    bus.serve(TARGET, Worker())
    assert answers == [True]


@pytest.mark.parametrize(
    ("how", "logged"), [("expected", False), ("missing", False), ("bug", True), ("ours", True)]
)
def test_only_failures_of_the_server_are_logged(
    bus: BusForTests, caplog: pytest.LogCaptureFixture, how: str, logged: bool
) -> None:
    bus.serve(TARGET, Worker())
    with caplog.at_level(logging.WARNING), pytest.raises((RemoteError, NotFound)):
        bus.client(Target("works")).call(CONTEXT, "fail", how=how)
    assert any("fail failed" in each.message for each in caplog.records) is logged


def test_callers_see_a_traceback_only_of_a_server_that_sends_it(bus: BusForTests) -> None:
    bus.serve(TARGET, Worker(), send_tracebacks=True)
    with pytest.raises(RemoteError) as caught:
        bus.client(Target("works")).call(CONTEXT, "fail", how="bug")
    assert "ValueError" in caught.value.details["traceback"]


def test_a_context_that_is_none_is_refused_before_the_method_runs(bus: BusForTests) -> None:
    worker = Worker()
    bus.serve(TARGET, worker)
    with pytest.raises(EnvelopeInvalid, match="context"):
        bus.client(Target("works")).call({"roles": 5}, "often", what="x")
    assert worker.runs == []


def test_a_serializer_may_hand_on_contexts_of_other_programs(bus: BusForTests) -> None:
    seen: list[Any] = []

    class Foreign(Endpoint):
        @rpc
        def look(self, context: dict[str, Any]) -> None:
            seen.append(context)

    bus.serve(TARGET, Foreign(), serializer=MappingContextSerializer())
    bus.client(Target("works")).cast({"tenant": "t", "is_admin": True}, "look")
    assert seen == [{"tenant": "t", "is_admin": True}]


def test_a_wrong_argument_is_named(bus: BusForTests) -> None:
    bus.serve(TARGET, Worker())
    with pytest.raises(ArgumentsInvalid, match="often: what: Expected `str`, got `int`") as caught:
        bus.client(Target("works")).call(CONTEXT, "often", what=5)
    assert caught.value.details["argument"] == "what"


def test_a_stop_finishes_what_is_in_hand_and_gives_back_what_is_not_begun() -> None:
    transport = MemoryTransport()
    worker = Worker()
    server = RpcServer(transport, TARGET, [worker], new_id=random_id, workers=1)
    server.start()
    for name in ("first", "second"):
        transport.publish(
            TARGET.topic_address, wrap(request("block", name, name=name).to_message())
        )
    assert worker.begun.get(timeout=5) == "first"
    server.stop(0.05)
    (queue,) = (each for each in transport.look() if each.address == TARGET.topic_address)
    assert len(queue.in_hand) == 1  # the first is at work yet: nobody says that it is done
    assert [each.redelivered for each in queue.waiting] == [True]
    worker.free.set()
    later = Inbox()
    transport.consume(TARGET.topic_address, later)
    assert b"second" in later.bodies(1)[0]
    transport.stop(1)


def test_a_start_that_fails_leaves_nothing_running() -> None:
    class HalfThere(MemoryTransport):
        def consume(self, address: Address, deliver: Deliver, **rest: Any) -> Any:
            if address.kind is Kind.FANOUT:
                raise BusUnavailable("gone")
            return super().consume(address, deliver, **rest)

    transport = HalfThere()
    server = RpcServer(transport, Target("nowhere"), [Worker()], new_id=random_id)
    with pytest.raises(BusUnavailable):
        server.start()
    assert [each.consumers for each in transport.look()] == [0]
    assert not [each for each in threading.enumerate() if each.name.startswith("rpc-nowhere")]


@pytest.mark.parametrize("executor", ["threads", "inline"])
def test_a_server_that_was_stopped_may_be_started_again(executor: str) -> None:
    transport = MemoryTransport()
    server = RpcServer(transport, TARGET, [Worker()], new_id=random_id, executor=executor)
    client = RpcClient(transport, Target("works"), new_id=random_id, timeout=5)
    for _ in range(2):
        server.start()
        assert client.call(CONTEXT, "often", what="x") is False
        server.stop(5)
    client.stop(1)


def test_a_blocking_server_works_on_the_thread_that_runs_it() -> None:
    transport = MemoryTransport()
    seen: SimpleQueue[str] = SimpleQueue()

    class Who(Endpoint):
        @rpc
        def who(self, context: RequestContext) -> None:
            seen.put(threading.current_thread().name)

    server = RpcServer(transport, TARGET, [Who()], new_id=random_id, executor="blocking")
    thread = threading.Thread(target=server.serve_forever, name="main-loop")
    transport.publish(TARGET.topic_address, wrap(request("who", "u").to_message()))
    thread.start()
    assert seen.get(timeout=5) == "main-loop"
    server.stop(5)
    thread.join(5)
    assert not thread.is_alive()


def test_an_unknown_executor_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="did you mean 'threads'"):
        RpcServer(MemoryTransport(), TARGET, [], new_id=random_id, executor="thread")


def test_a_stop_that_comes_before_the_run_ends_it() -> None:
    executor = open_executor("blocking", lambda delivery: delivery.ack(), 1, "test")
    executor.start()
    executor.stop(1)
    executor.run()


def test_a_cast_to_a_method_that_is_not_there_is_logged(
    bus: BusForTests, caplog: pytest.LogCaptureFixture
) -> None:
    bus.serve(TARGET, Worker())
    bus.client(Target("works")).cast(CONTEXT, "nothing")
    assert "nothing is refused" in caplog.text
    assert bus.dead_letters() == []
