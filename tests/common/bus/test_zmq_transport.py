"""The brokerless driver against the contract, and what is its own, inside one process."""

import time
from collections.abc import Callable, Iterator

import pytest

from contracts.transport import Inbox, TransportContract
from kilo_common.bus.connect import open_transport
from kilo_common.bus.errors import BusUnavailable
from kilo_common.bus.target import Target
from kilo_common.bus.transport import Transport
from kilo_common.bus.url import BusUrlInvalid
from kilo_common.bus.zmq_transport.errors import MessageTooLarge
from kilo_common.bus.zmq_transport.matchmaking.memory import MemoryMatchmaker
from kilo_common.bus.zmq_transport.settings import from_url
from kilo_common.bus.zmq_transport.transport import BODY_LIMIT, ZmqTransport
from kilo_common.errors import ConfigInvalid


class TestZmqTransport(TransportContract):
    @pytest.fixture
    def let_pass(self) -> Callable[[float], None]:
        return time.sleep

    @pytest.fixture
    def transport(self) -> Iterator[Transport]:
        transport = open_transport("zmq://127.0.0.1")
        transport.start()
        yield transport
        transport.stop(10)


class TestFromNodeToNode(TransportContract):
    """Every publication crosses a socket: the contract's consumers live at another node."""

    @pytest.fixture
    def let_pass(self) -> Callable[[float], None]:
        return time.sleep

    @pytest.fixture
    def transport(self) -> Iterator[Transport]:
        matchmaker = MemoryMatchmaker()
        near, far = (ZmqTransport("zmq://", matchmaker=matchmaker) for _number in range(2))
        near.start()
        far.start()
        near.consume = far.consume  # type: ignore[method-assign]  # two nodes that act as one
        yield near
        near.stop(10)
        far.stop(10)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("zmq://10.0.0.1/", "allow_remote=true"),
        ("zmq://0.0.0.0/", "allow_remote=true"),
        ("zmq://127.0.0.1/?advertise=example.org", "allow_remote=true"),
        ("zmq://0.0.0.0/?allow_remote=true", "advertise=HOST"),
        ("zmq://127.0.0.1,127.0.0.2/", "one address"),
        ("zmq://127.0.0.1/?heartbeat=soon", "heartbeat must be a number"),
        ("zmq://127.0.0.1/?lease=nan", "lease must be a number"),
        ("zmq://127.0.0.1/?max_messages=0", "max_messages must be a number"),
        ("zmq://127.0.0.1/?speed=1", "no option 'speed'"),
        ("zmq://127.0.0.1:http/", "not a port"),
    ],
)
def test_a_wrong_url_is_refused(url: str, complaint: str) -> None:
    with pytest.raises(BusUrlInvalid, match=complaint):
        open_transport(url)


def test_an_unknown_matchmaker_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="redis"):
        open_transport("zmq://127.0.0.1/?matchmaker=reddis").start()


def test_other_machines_are_talked_to_only_when_allowed() -> None:
    assert not from_url("zmq://127.0.0.1").may_talk_to("tcp://10.0.0.1:5")
    assert from_url("zmq://127.0.0.1/?allow_remote=true").may_talk_to("tcp://10.0.0.1:5")
    assert from_url("zmq://[::1]").may_talk_to("tcp://[::1]:5")


def test_a_port_that_is_taken_is_said_so(unused_port: int) -> None:
    first, second = (ZmqTransport(f"zmq://127.0.0.1:{unused_port}") for _number in range(2))
    first.start()
    with pytest.raises(BusUnavailable, match=str(unused_port)):
        second.start()
    first.stop(1)


def test_a_stopped_bus_says_so_and_starts_again() -> None:
    transport = ZmqTransport()
    with pytest.raises(BusUnavailable):
        transport.publish(Target("t").topic_address, b"")
    for _time in range(2):
        transport.start()
        transport.start()
        inbox = Inbox()
        transport.consume(Target("t").topic_address, inbox)
        transport.publish(Target("t").topic_address, b"1", mandatory=True)
        assert inbox.bodies(1) == [b"1"]
        transport.stop(1)
        transport.stop(1)
        with pytest.raises(BusUnavailable):
            transport.check()


def test_a_message_beyond_all_bounds_is_refused() -> None:
    transport = ZmqTransport()
    transport.start()
    with pytest.raises(MessageTooLarge):
        transport.publish(Target("t").topic_address, bytes(BODY_LIMIT + 1))
    transport.stop(1)


def test_a_large_message_arrives_whole() -> None:
    matchmaker = MemoryMatchmaker()
    near, far = (ZmqTransport("zmq://", matchmaker=matchmaker) for _number in range(2))
    near.start()
    far.start()
    inbox = Inbox()
    far.consume(Target("t").topic_address, inbox)
    bodies = [bytes([number]) * (5 << 20) for number in range(4)]
    for body in bodies:
        near.publish(Target("t").topic_address, body)
    assert inbox.bodies(4) == bodies
    near.stop(1)
    far.stop(1)


def test_stopping_brings_on_what_others_can_take() -> None:
    matchmaker = MemoryMatchmaker()
    near, far = (ZmqTransport("zmq://", matchmaker=matchmaker) for _number in range(2))
    near.start()
    far.start()
    held, inbox = Inbox(), Inbox()
    near.consume(Target("t").topic_address, held)
    near.publish(Target("t").topic_address, b"1")
    held.next()
    far.consume(Target("t").topic_address, inbox)
    near.stop(5)
    delivery = inbox.next()
    assert (delivery.body, delivery.redelivered) == (b"1", True)
    far.stop(1)
