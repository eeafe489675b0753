"""`qpid://` stays within AMQP 0-9-1: what it sends is read off the wire and compared."""

import struct
from collections.abc import Iterator

import pytest

from contracts.transport import Inbox
from kilo_common.bus.connect import open_transport
from kilo_common.bus.errors import NoRoute
from kilo_common.bus.kombu_transport.frames import METHOD, split
from kilo_common.bus.target import Address, Kind, Target
from kilo_common.bus.url import BusUrlInvalid
from kilo_common.testing.fault_proxy import FaultProxy

pytestmark = pytest.mark.services
CONFIRM_SELECT, BASIC_NACK, EXCHANGE_BIND, EXCHANGE_UNBIND = (85, 10), (60, 120), (40, 30), (40, 40)
EXTENSIONS = {CONFIRM_SELECT, BASIC_NACK, EXCHANGE_BIND, EXCHANGE_UNBIND}
TX_SELECT, TX_COMMIT, START_OK = (90, 10), (90, 20), (10, 11)


class Wire:
    """What clients sent, connection by connection mixed: good enough to look for methods."""

    def __init__(self) -> None:
        self.data: list[bytes] = []

    def methods(self) -> Iterator[tuple[tuple[int, int], bytes]]:
        for piece in self.data:
            frames, _ = split(piece.removeprefix(b"AMQP\x00\x00\x09\x01"))
            for kind, _, payload in frames:
                if kind == METHOD:
                    yield struct.unpack_from(">HH", payload), payload


def test_nothing_but_the_standard_is_asked_of_the_broker(rabbit_port: int) -> None:
    wire = Wire()
    target = Target(f"kilo-qpid-{id(wire)}", exchange="kilo-qpid")
    reply = Address(Kind.REPLY, "", f"reply_{id(wire)}")
    inbox = Inbox()
    with FaultProxy("127.0.0.1", rabbit_port, on_sent=wire.data.append) as proxy:
        transport = open_transport(f"qpid://127.0.0.1:{proxy.port}/?temporary=true")
        transport.start()
        for address in (target.topic_address, target.fanout_address, reply):
            transport.consume(address, inbox)
            transport.publish(address, b"x", ttl=10, headers={"a": "b"})
            inbox.next().ack()
        transport.publish(target.topic_address, b"poison")
        inbox.next().reject("cannot be read")
        transport.consume(target.topic_address.dead_letters(), inbox)
        inbox.next().ack()
        with pytest.raises(NoRoute):
            transport.publish(target.server_address, b"x", mandatory=True)
        transport.stop(5)
    sent = list(wire.methods())
    names = {name for name, _ in sent}
    assert {TX_SELECT, TX_COMMIT, START_OK} <= names
    assert not names & EXTENSIONS
    everything = b"".join(payload for _, payload in sent)
    assert b"x-" not in everything
    assert b"capabilities" not in everything
    assert b"qpid.close_when_no_route" in everything


def test_quorum_queues_are_refused() -> None:
    with pytest.raises(BusUrlInvalid, match="quorum"):
        open_transport("qpid://127.0.0.1/?quorum=true")
