"""What every bus driver must do. A driver's tests subclass this and give a `transport` fixture."""

import threading
import uuid
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

import pytest

from kilo_common.bus.errors import NoRoute
from kilo_common.bus.target import Address, Kind, Target
from kilo_common.bus.transport import DEAD_REASON, Capability, Delivery, Transport

PATIENCE = 10.0


class Inbox:
    """Collects deliveries of one consumer."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Delivery] = SimpleQueue()

    def __call__(self, delivery: Delivery) -> None:
        self._queue.put(delivery)

    def next(self) -> Delivery:
        return self._queue.get(timeout=PATIENCE)

    def bodies(self, count: int) -> list[bytes]:
        """The next `count` bodies, each acknowledged."""
        found = []
        for _ in range(count):
            delivery = self.next()
            found.append(delivery.body)
            delivery.ack()
        return found

    def is_empty(self) -> bool:
        return self._queue.empty()


class TransportContract:
    """Run against every driver."""

    @pytest.fixture
    def transport(self) -> Iterator[Transport]:
        raise NotImplementedError

    @pytest.fixture
    def target(self) -> Target:
        return Target(f"contract-{uuid.uuid4().hex}", exchange="kilo-contract")

    def needs(self, transport: Transport, capability: Capability) -> None:
        if capability not in transport.capabilities:
            pytest.skip(f"the driver does not promise {capability.value}")

    def test_a_message_reaches_the_consumer_of_its_queue(
        self, transport: Transport, target: Target
    ) -> None:
        inbox = Inbox()
        transport.consume(target.topic_address, inbox)
        transport.publish(target.topic_address, b'{"a": 1}')
        delivery = inbox.next()
        assert delivery.body == b'{"a": 1}'
        assert not delivery.redelivered
        delivery.ack()

    def test_a_message_waits_for_a_consumer_that_comes_later(
        self, transport: Transport, target: Target
    ) -> None:
        transport.publish(target.topic_address, b"early")
        inbox = Inbox()
        transport.consume(target.topic_address, inbox)
        assert inbox.bodies(1) == [b"early"]

    def test_one_consumer_gets_messages_in_order(
        self, transport: Transport, target: Target
    ) -> None:
        self.needs(transport, Capability.ORDERED)
        sent = [b"%d" % number for number in range(50)]
        for body in sent:
            transport.publish(target.topic_address, body)
        inbox = Inbox()
        transport.consume(target.topic_address, inbox, prefetch=1)
        assert inbox.bodies(50) == sent

    def test_consumers_of_one_group_share_the_messages(
        self, transport: Transport, target: Target
    ) -> None:
        both = Inbox()
        transport.consume(target.topic_address, both)
        transport.consume(target.topic_address, both)
        for number in range(20):
            transport.publish(target.topic_address, b"%d" % number)
        assert sorted(both.bodies(20)) == sorted(b"%d" % number for number in range(20))
        assert both.is_empty()

    def test_each_group_gets_every_message(self, transport: Transport, target: Target) -> None:
        first, second = Inbox(), Inbox()
        transport.consume(target.topic_address, first, group=f"{target.topic}-one")
        transport.consume(target.topic_address, second, group=f"{target.topic}-two")
        transport.publish(target.topic_address, b"news")
        assert first.bodies(1) == second.bodies(1) == [b"news"]

    def test_prefetch_bounds_what_a_consumer_has_in_hand(
        self, transport: Transport, target: Target
    ) -> None:
        for number in range(3):
            transport.publish(target.topic_address, b"%d" % number)
        inbox = Inbox()
        transport.consume(target.topic_address, inbox, prefetch=1)
        held = inbox.next()
        with pytest.raises(Empty):
            inbox._queue.get(timeout=0.2)
        held.ack()
        assert inbox.bodies(2) == [b"1", b"2"]

    def test_a_requeued_message_comes_again_and_is_marked(
        self, transport: Transport, target: Target
    ) -> None:
        inbox = Inbox()
        transport.consume(target.topic_address, inbox)
        transport.publish(target.topic_address, b"again")
        inbox.next().requeue()
        second = inbox.next()
        assert second.body == b"again"
        assert second.redelivered
        second.ack()

    @pytest.mark.parametrize("pool", ["", "pool"])
    def test_a_rejected_message_ends_among_the_dead_letters_with_its_reason(
        self, transport: Transport, target: Target, pool: str
    ) -> None:
        group = f"{target.topic}-{pool}" if pool else ""
        inbox, graveyard = Inbox(), Inbox()
        transport.consume(target.topic_address, inbox, group=group)
        transport.publish(target.topic_address, b"poison", headers={"kind": "test"})
        inbox.next().reject("cannot be read")
        transport.publish(target.topic_address, b"good")
        assert inbox.bodies(1) == [b"good"]
        transport.consume(target.topic_address.dead_letters(group), graveyard)
        dead = graveyard.next()
        assert dead.body == b"poison"
        assert dead.headers == {"kind": "test", DEAD_REASON: "cannot be read"}
        dead.ack()

    def test_a_cancelled_consumer_takes_nothing_more(
        self, transport: Transport, target: Target
    ) -> None:
        gone, here = Inbox(), Inbox()
        consumer = transport.consume(target.topic_address, gone)
        transport.publish(target.topic_address, b"first")
        held = gone.next()
        consumer.cancel()
        consumer.cancel()
        transport.consume(target.topic_address, here)
        transport.publish(target.topic_address, b"second")
        assert here.bodies(1) == [b"second"]
        held.ack()
        assert gone.is_empty()

    def test_fanout_copies_to_each_listener(self, transport: Transport, target: Target) -> None:
        first, second = Inbox(), Inbox()
        transport.consume(target.fanout_address, first)
        transport.consume(target.fanout_address, second)
        transport.publish(target.fanout_address, b"all")
        assert first.bodies(1) == second.bodies(1) == [b"all"]

    def test_fanout_to_nobody_is_no_error(self, transport: Transport, target: Target) -> None:
        transport.publish(target.fanout_address, b"nobody")

    def test_a_reply_reaches_the_queue_it_names(self, transport: Transport, target: Target) -> None:
        address = Address(Kind.REPLY, "", f"reply_{uuid.uuid4().hex}")
        inbox = Inbox()
        transport.consume(address, inbox)
        transport.publish(address, b"answer", mandatory=True)
        assert inbox.bodies(1) == [b"answer"]

    def test_mandatory_to_nobody_raises(self, transport: Transport, target: Target) -> None:
        self.needs(transport, Capability.MANDATORY)
        with pytest.raises(NoRoute):
            transport.publish(target.topic_address, b"anybody?", mandatory=True)
        transport.publish(target.topic_address, b"kept")  # the connection is still good
        inbox = Inbox()
        transport.consume(target.topic_address, inbox)
        assert inbox.bodies(1) == [b"kept"]

    def test_an_expired_message_is_not_delivered(
        self, transport: Transport, target: Target, let_pass: Callable[[float], None]
    ) -> None:
        self.needs(transport, Capability.EXPIRATION)
        transport.publish(target.topic_address, b"stale", ttl=0.05)
        let_pass(0.2)
        transport.publish(target.topic_address, b"fresh")
        inbox = Inbox()
        transport.consume(target.topic_address, inbox)
        assert inbox.bodies(1) == [b"fresh"]

    def test_many_threads_may_publish_at_once(self, transport: Transport, target: Target) -> None:
        inbox = Inbox()
        transport.consume(target.topic_address, inbox, prefetch=100)

        def publish(name: int) -> None:
            for number in range(10):
                transport.publish(target.topic_address, b"%d-%d" % (name, number))

        threads = [threading.Thread(target=publish, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(inbox.bodies(80))) == 80

    def test_what_several_send_to_a_queue_that_is_not_there_is_all_kept(
        self, transport: Transport, target: Target
    ) -> None:
        for number in range(5):
            address = target.with_(topic=f"{target.topic}-{number}").topic_address
            threads = [
                threading.Thread(target=transport.publish, args=(address, b"%d" % sender))
                for sender in range(8)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            inbox = Inbox()
            consumer = transport.consume(address, inbox)
            assert sorted(inbox.bodies(8)) == [b"%d" % sender for sender in range(8)]
            consumer.cancel()

    def test_check_returns_while_the_broker_answers(self, transport: Transport) -> None:
        transport.check()
