"""What callers and publishers see while the broker is away, blocked, silent, or killed."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import pytest

from contracts.transport import Inbox
from kilo_common.bus.connect import open_transport
from kilo_common.bus.dispatcher import Endpoint, rpc
from kilo_common.bus.envelope import Request, wrap
from kilo_common.bus.errors import BusUnavailable, CallTimeout
from kilo_common.bus.rpc_client import RpcClient
from kilo_common.bus.rpc_server import RpcServer
from kilo_common.bus.target import Address, Kind, Target
from kilo_common.bus.transport import Transport
from kilo_common.context import RequestContext
from kilo_common.ids import random_id
from kilo_common.testing.fault_proxy import FaultProxy

pytestmark = pytest.mark.services
CONTEXT = RequestContext()
LATE = 0.5
"""Seconds by which a time-out may be late."""


class Echo(Endpoint):
    @rpc
    def echo(self, context: RequestContext, x: int) -> int:
        return x


@pytest.fixture
def target() -> Target:
    return Target(f"faults-{uuid.uuid4().hex}", exchange="kilo-faults", server="one")


@contextmanager
def opened(url: str) -> Iterator[Transport]:
    transport = open_transport(url)
    transport.start()
    try:
        yield transport
    finally:
        transport.stop(5)


@contextmanager
def served(transport: Transport, target: Target) -> Iterator[RpcClient]:
    """A server on the transport and a client of it that has called it once."""
    server = RpcServer(transport, target, [Echo()], new_id=random_id)
    server.start()
    client = RpcClient(transport, target, new_id=random_id, timeout=10)
    assert client.call(CONTEXT, "echo", x=1) == 1
    try:
        yield client
    finally:
        client.stop(1)
        server.stop(1)


def until_it_works(call: Callable[[], object], patience: float = 30.0) -> float:
    """Seconds until `call` succeeds."""
    began = time.monotonic()
    while True:
        try:
            call()
        except (BusUnavailable, CallTimeout):
            assert time.monotonic() - began < patience
        else:
            return time.monotonic() - began


@contextmanager
def gives_up_after(seconds: float) -> Iterator[list[BusUnavailable | CallTimeout]]:
    caught: list[BusUnavailable | CallTimeout] = []
    began = time.monotonic()
    with pytest.raises((BusUnavailable, CallTimeout)) as found:
        yield caught
    assert seconds - 0.1 <= time.monotonic() - began <= seconds + LATE
    caught.append(found.value)


def test_time_outs_hold_while_the_broker_is_down_and_calls_work_soon_after(node, target) -> None:
    with opened(node.url) as transport, served(transport, target) as client:
        node.kill()
        for _ in range(2):  # the first may be written before the loss is noticed
            with gives_up_after(1.0) as caught:
                transport.publish(target.topic_address, b"{}", timeout=1.0)
        assert not caught[0].may_have_been_published
        with gives_up_after(2.0):
            client.call(CONTEXT, "echo", x=2, timeout=2.0)
        node.start()
        assert until_it_works(lambda: client.call(CONTEXT, "echo", x=3, timeout=0.5)) < 2.0


class Slow(Endpoint):
    def __init__(self) -> None:
        self.begun: SimpleQueue[int] = SimpleQueue()
        self.go_on = threading.Event()

    @rpc
    def work(self, context: RequestContext, x: int) -> int:
        self.begun.put(x)
        self.go_on.wait(60)
        return x


@pytest.mark.parametrize("comes_back", [True, False])
def test_calls_in_flight_get_an_answer_or_hear_that_they_may_have_run(
    node, target, comes_back: bool
) -> None:
    slow = Slow()
    with opened(node.url) as transport, opened(node.url) as others:
        server = RpcServer(others, target, [slow], new_id=random_id)
        server.start()
        patience = 20.0 if comes_back else 1.5
        client = RpcClient(transport, target, new_id=random_id, timeout=patience)
        ends: SimpleQueue[tuple[int, float]] = SimpleQueue()

        def call(x: int) -> None:
            began = time.monotonic()
            try:
                end: int = client.call(CONTEXT, "work", x=x)
            except CallTimeout as fault:
                end = fault.may_have_run
            except BusUnavailable as fault:  # killed before it had confirmed the request
                end = fault.may_have_been_published
            ends.put((end, time.monotonic() - began))

        threads = [threading.Thread(target=call, args=(x,)) for x in range(4)]
        for thread in threads:
            thread.start()
        assert {slow.begun.get(timeout=10) for _ in threads} == {0, 1, 2, 3}
        node.kill()
        if comes_back:
            node.start()
        slow.go_on.set()
        for thread in threads:
            thread.join(60)
        found = [ends.get(timeout=1) for _ in threads]
        assert all(seconds <= patience + LATE for _, seconds in found)
        expected = [0, 1, 2, 3] if comes_back else [True] * 4
        assert sorted(end for end, _ in found) == expected
        client.stop(1)
        server.stop(1)


def test_time_outs_hold_while_the_broker_blocks_publishers(node, target) -> None:
    with opened(node.url) as transport, served(transport, target) as client:
        node.block()
        try:
            for _ in range(2):
                with gives_up_after(1.0):
                    client.call(CONTEXT, "echo", x=2, timeout=1.0)
            with gives_up_after(1.0) as caught:
                transport.publish(target.topic_address, b"{}", timeout=1.0)
            assert not caught[0].may_have_been_published
            with pytest.raises(BusUnavailable):
                transport.check()
        finally:
            node.unblock()
        assert until_it_works(lambda: client.call(CONTEXT, "echo", x=3, timeout=1.0)) < 10
        transport.check()


def test_time_outs_hold_on_a_half_open_connection(node, target) -> None:
    with (
        FaultProxy("127.0.0.1", node.port) as proxy,
        opened(f"rabbit://127.0.0.1:{proxy.port}/?heartbeat=1") as transport,
        served(transport, target) as client,
    ):
        proxy.freeze()
        with gives_up_after(1.0) as caught:
            transport.publish(target.server_address, b"{}", timeout=1.0)
        assert caught[0].may_have_been_published
        with gives_up_after(4.0):  # meanwhile heartbeats fail, and connecting hangs as well
            client.call(CONTEXT, "echo", x=2, timeout=4.0)
        proxy.thaw()
        assert until_it_works(lambda: client.call(CONTEXT, "echo", x=3, timeout=1.0)) < 8


@pytest.mark.parametrize("fault", ["cut", "half_close"])
def test_calls_work_again_at_once_after_a_broken_connection(node, target, fault: str) -> None:
    with (
        FaultProxy("127.0.0.1", node.port) as proxy,
        opened(f"rabbit://127.0.0.1:{proxy.port}/") as transport,
        served(transport, target) as client,
    ):
        getattr(proxy, fault)()
        assert until_it_works(lambda: client.call(CONTEXT, "echo", x=3, timeout=1.0)) < 2.0


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_no_confirmed_notification_is_lost_when_the_broker_is_killed(
    node, target, kind: str
) -> None:
    count, senders = 10_000, 8
    sent: SimpleQueue[int] = SimpleQueue()
    with opened(node.url + ("?quorum=true" if kind == "quorum" else "")) as transport:
        address = target.topic_address
        if kind == "quorum":
            transport.publish(address, b"0")
            node.await_registration(address.name)

        def send(first: int) -> None:
            for number in range(first, count, senders):
                transport.publish(address, b"%d" % number, timeout=90)
                sent.put(number)

        threads = [threading.Thread(target=send, args=(first,)) for first in range(senders)]
        for thread in threads:
            thread.start()
        while sent.qsize() < count // 4:
            time.sleep(0.01)
        node.kill()
        assert sent.qsize() < count
        node.start()
        for thread in threads:
            thread.join(120)
        assert sent.qsize() == count
        inbox = Inbox()
        transport.consume(address, inbox, prefetch=500)
        found: set[bytes] = set()
        while len(found) < count:
            found.update(inbox.bodies(1))


def test_no_cast_is_lost_when_its_server_is_killed(node, target, process, tmp_path: Path) -> None:
    count = 500
    done = tmp_path / "done"
    with opened(node.url) as transport:
        client = RpcClient(transport, target.with_(server=None), new_id=random_id)
        first = process(node.url, target.topic, str(done), "0.01")
        for number in range(count):
            client.cast(CONTEXT, "write", number=number)
        while len(done.read_text().split()) < count // 10:
            time.sleep(0.01)
        first.kill()
        first.wait()
        assert len(set(done.read_text().split())) < count
        process(node.url, target.topic, str(done), "0")
        deadline = time.monotonic() + 60
        while len(set(done.read_text().split())) < count:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("queue", ["full", "gone"])
def test_a_client_that_died_with_its_replies_unread_harms_no_other(
    node, target, queue: str
) -> None:
    dead = Address(Kind.REPLY, "", f"reply_{uuid.uuid4().hex}")
    with opened(node.url) as transport, opened(node.url) as dying, served(transport, target) as c:
        if queue == "full":
            dying.consume(dead, lambda delivery: None, prefetch=10)
        for number in range(500):
            request = Request(
                "echo",
                {"x": number},
                {},
                message_id=f"m{number}",
                reply_to=dead.name,
                unique_id=uuid.uuid4().hex,
            )
            dying.publish(target.topic_address, wrap(request.to_message()))
        began = time.monotonic()
        assert c.call(CONTEXT, "echo", x=7) == 7
        assert time.monotonic() - began < 2.0


def test_a_slow_consumer_starves_no_heartbeat(node, target) -> None:
    with opened(f"{node.url}?heartbeat=1") as transport:
        inbox = Inbox()
        transport.consume(target.topic_address, inbox, prefetch=1)
        for body in (b"one", b"two"):
            transport.publish(target.topic_address, body)
        slow = inbox.next()
        time.sleep(4)  # four times what a broker waits for a sign of life, and more
        assert inbox.is_empty()
        slow.ack()
        second = inbox.next()
        assert (second.body, second.redelivered) == (b"two", False)
        second.ack()
