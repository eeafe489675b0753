"""The in-memory driver against the contract, and what is its own."""

from collections.abc import Callable, Iterator

import pytest

from contracts.transport import Inbox, TransportContract
from kilo_common.bus.errors import BusUnavailable
from kilo_common.bus.memory import MemoryTransport
from kilo_common.bus.target import Target
from kilo_common.testing.clock import FakeClock


class TestMemoryTransport(TransportContract):
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def let_pass(self, clock: FakeClock) -> Callable[[float], None]:
        return clock.advance

    @pytest.fixture
    def transport(self, clock: FakeClock) -> Iterator[MemoryTransport]:
        transport = MemoryTransport(clock=clock)
        transport.start()
        yield transport
        transport.stop(5)


def test_two_transports_know_nothing_of_each_other() -> None:
    one, other = MemoryTransport(), MemoryTransport()
    target = Target("apart")
    inbox = Inbox()
    other.consume(target.topic_address, inbox)
    one.publish(target.topic_address, b"here")
    assert inbox.is_empty()
    one.stop(1)
    other.stop(1)


def test_what_was_in_hand_when_the_bus_stopped_comes_again() -> None:
    transport = MemoryTransport()
    address = Target("restart").topic_address
    inbox = Inbox()
    transport.consume(address, inbox)
    transport.publish(address, b"unfinished")
    inbox.next()
    transport.stop(1)
    with pytest.raises(BusUnavailable):
        transport.check()
    transport.start()
    again = Inbox()
    transport.consume(address, again)
    delivery = again.next()
    assert (delivery.body, delivery.redelivered) == (b"unfinished", True)
    delivery.ack()
    transport.stop(1)
