"""The AMQP driver against the contract, on a real RabbitMQ, and what is its own."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import amqp
import pytest

from contracts.transport import Inbox, TransportContract
from kilo_common.bus.connect import open_transport
from kilo_common.bus.errors import BusUnavailable, NoRoute
from kilo_common.bus.kombu_transport.transport import KombuTransport
from kilo_common.bus.target import Address, Kind, Target
from kilo_common.bus.transport import DEAD_REASON, Transport
from kilo_common.testing.fault_proxy import FaultProxy

CHANNEL_OPEN = b"\x00\x14\x00\x0a"
"""Class 20, method 10."""
pytestmark = pytest.mark.services


class TestKombuTransport(TransportContract):
    @pytest.fixture
    def let_pass(self) -> Callable[[float], None]:
        return time.sleep  # the broker's clock is not ours to set

    @pytest.fixture(params=["rabbit", "rabbit, quorum", "qpid"])
    def transport(self, request: pytest.FixtureRequest, rabbit_url: str) -> Iterator[Transport]:
        scheme, _, quorum = request.param.partition(", ")
        url = rabbit_url.replace("rabbit:", f"{scheme}:") + ("&quorum=true" if quorum else "")
        transport = open_transport(url)
        transport.start()
        yield transport
        transport.stop(10)


def test_a_broker_that_is_not_there_is_said_so() -> None:
    transport = KombuTransport("rabbit://guest:guest@127.0.0.1:1/")
    with pytest.raises(BusUnavailable, match=r"127\.0\.0\.1:1 cannot be reached"):
        transport.start()


def test_publishing_gives_up_at_its_time_out() -> None:
    transport = KombuTransport("rabbit://guest:guest@127.0.0.1:1/")
    began = time.monotonic()
    with pytest.raises(BusUnavailable) as caught:
        transport.publish(Target("nowhere").topic_address, b"{}", timeout=1.0)
    assert time.monotonic() - began < 2.0
    assert not caught.value.may_have_been_published


def test_a_stopped_bus_publishes_nothing_and_says_so(rabbit_url: str) -> None:
    transport = open_transport(rabbit_url)
    transport.start()
    transport.stop(5)
    with pytest.raises(BusUnavailable, match="stopped") as caught:
        transport.publish(Target("nowhere").topic_address, b"{}")
    assert not caught.value.may_have_been_published


def test_the_second_host_serves_when_the_first_does_not(rabbit_port: int) -> None:
    hosts = f"guest:guest@127.0.0.1:1,guest:guest@127.0.0.1:{rabbit_port}"
    transport = KombuTransport(f"rabbit://{hosts}/")
    transport.start()
    transport.check()
    transport.stop(5)


def test_a_queue_that_a_peer_made_otherwise_is_used_as_it_is(rabbit_url: str) -> None:
    target = Target(f"kilo-mixed-{time.time_ns()}", exchange="kilo-mixed")
    quorum = open_transport(rabbit_url + "&quorum=true")
    classic = open_transport(rabbit_url)
    inbox = Inbox()
    classic.consume(target.topic_address, inbox)
    quorum.publish(target.topic_address, b"one")
    quorum.consume(target.topic_address, inbox)
    quorum.publish(target.topic_address, b"two")
    assert set(inbox.bodies(2)) == {b"one", b"two"}
    quorum.stop(5)
    classic.stop(5)


@pytest.mark.parametrize("scheme", ["rabbit", "qpid"])
def test_a_connection_may_be_lost_while_a_channel_is_opened(rabbit_port: int, scheme: str) -> None:
    address = Target(f"kilo-lost-{time.time_ns()}", exchange="kilo-lost").topic_address
    proxies: list[FaultProxy] = []
    opened: list[int] = []

    def cut_at_once(sent: bytes) -> None:
        if CHANNEL_OPEN in sent:
            opened.append(len(opened))
            if len(opened) in (2, 4):  # the second is the one that publishes
                proxies[0].cut()

    with FaultProxy("127.0.0.1", rabbit_port, on_sent=cut_at_once) as proxy:
        proxies.append(proxy)
        transport = open_transport(f"{scheme}://127.0.0.1:{proxy.port}/?temporary=true")
        inbox = Inbox()
        transport.publish(address, b"after all", timeout=20)
        transport.consume(address, inbox)
        assert inbox.bodies(1) == [b"after all"]
        transport.stop(5)
    assert len(opened) > 3


def test_a_reply_waits_for_a_caller_that_comes_back_later_than_its_server(
    rabbit_port: int, rabbit_url: str
) -> None:
    reply = Address(Kind.REPLY, "", f"reply_{time.time_ns()}")
    caller = open_transport(rabbit_url)
    with FaultProxy("127.0.0.1", rabbit_port) as proxy, ThreadPoolExecutor(1) as pool:
        server = open_transport(f"rabbit://127.0.0.1:{proxy.port}/?temporary=true")
        with pytest.raises(NoRoute):
            server.publish(reply, b"nobody", mandatory=True)
        proxy.cut()
        published = pool.submit(server.publish, reply, b"answer", mandatory=True)
        with pytest.raises(TimeoutError):
            published.result(0.3)
        inbox = Inbox()
        caller.consume(reply, inbox)
        published.result(10)
        assert inbox.bodies(1) == [b"answer"]
        server.stop(5)
    caller.stop(5)


@pytest.fixture
def quorum(rabbit_url: str) -> Iterator[Transport]:
    transport = open_transport(rabbit_url + "&quorum=true")
    transport.start()
    yield transport
    transport.stop(5)


def test_a_message_may_be_given_back_for_ever(quorum: Transport) -> None:
    address = Target(f"kilo-again-{time.time_ns()}", exchange="kilo-again").topic_address
    inbox, neighbour = Inbox(), Inbox()
    quorum.consume(address, inbox)
    quorum.consume(address, neighbour, group=f"{address.name}-neighbour")
    quorum.publish(address, b"not yet", headers={"mine": "1"})
    for number in range(30):  # RabbitMQ 4 throws away what it gave out 21 times
        again = inbox.next()
        assert again.headers.get("x-delivery-count", "0") == str(number)
        assert (again.headers["mine"], again.redelivered) == ("1", number > 0)
        again.requeue()
    assert inbox.bodies(1) == neighbour.bodies(1) == [b"not yet"]
    assert inbox.is_empty()
    assert neighbour.is_empty()


def test_a_message_that_ends_its_consumers_is_a_dead_letter(
    quorum: Transport, rabbit_port: int
) -> None:
    address = Target(f"kilo-fatal-{time.time_ns()}", exchange="kilo-fatal").topic_address
    graveyard, inbox = Inbox(), Inbox()
    quorum.consume(address.dead_letters(), graveyard)
    quorum.publish(address, b"fatal", headers={"mine": "1"})
    with amqp.Connection(f"127.0.0.1:{rabbit_port}") as connection:
        for _ in range(20):
            channel = connection.channel()
            while channel.basic_get(address.name) is None:
                pass
            channel.close()  # with the message unacknowledged
    quorum.consume(address, inbox)
    dead = graveyard.next()
    assert dead.body == b"fatal"
    assert dead.headers["mine"] == "1"
    assert dead.headers[DEAD_REASON] == "given out 20 times, and nobody finished or gave it back"
    dead.ack()
    assert inbox.is_empty()
