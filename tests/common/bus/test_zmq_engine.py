"""Nodes without sockets: what they do when frames are lost, peers fall silent or come back.

A net of engines on a fake clock; the wire between any two can be cut.
"""

import itertools
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from kilo_common.bus.errors import BusUnavailable, NoRoute
from kilo_common.bus.target import Address, Target
from kilo_common.bus.transport import Delivery
from kilo_common.bus.zmq_transport.engine import Engine
from kilo_common.bus.zmq_transport.frames import Batch, Join, Message, decode, encode
from kilo_common.bus.zmq_transport.inbox import LocalConsumer
from kilo_common.bus.zmq_transport.letters import Publication, Receipt
from kilo_common.bus.zmq_transport.matchmaking.base import Record, Role, place_of
from kilo_common.bus.zmq_transport.settings import ZmqSettings

WORK = Target("work").topic_address
SETTINGS = ZmqSettings(heartbeat=1.0, max_messages=50)


class Net:
    """Engines and what is on its way between them; one matchmaker for all."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.nodes: dict[str, Node] = {}
        self.cut: set[str] = set()
        """Endpoints that neither hear nor are heard."""
        self.records: set[Record] = set()
        self.births = itertools.count()

    def node(self, port: int, settings: ZmqSettings = SETTINGS) -> "Node":
        node = Node(self, port, settings)
        self.nodes[node.endpoint] = node
        return node

    def kill(self, node: "Node") -> None:
        self.nodes.pop(node.endpoint)

    def run(self) -> None:
        """Until nobody has anything to say."""
        busy = True
        while busy:
            turns = [node.turn() for node in list(self.nodes.values())]  # every node, each time
            busy = any(turns)

    def let_pass(self, seconds: float) -> None:
        for step in range(round(seconds / 0.1)):
            self.now += 0.1
            if step % 20 == 19:
                for node in self.nodes.values():
                    node.look_again()
            for node in list(self.nodes.values()):
                node.engine.at(self.now)
                node.engine.tick()
            self.run()


class Node:
    """One engine, with the net for links."""

    def __init__(self, net: Net, port: int, settings: ZmqSettings) -> None:
        self.net = net
        self.endpoint = f"tcp://127.0.0.1:{port}"
        self.name = f"node-{port}-{next(net.births)}"
        self.wanted: set[str] = set()
        self.unread: deque[bytes] = deque()
        self.commands: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self.got: list[Delivery] = []
        self.engine = Engine(
            settings,
            self.name,
            self.endpoint,
            self,
            post=self.post,
            want=self.want,
            now=net.now,
        )
        self.engine.at(net.now)

    def post(self, function: Callable[..., None], *arguments: Any) -> None:
        self.commands.append((function, arguments))

    def want(self, place: str) -> None:
        self.wanted.add(place)
        self.net.records.add(Record(Role.PUBLISHER, place, "", self.name, self.endpoint))
        found = tuple(each for each in self.net.records if each.place == place)
        self.post(self.engine.found, place, found)

    def look_again(self) -> None:
        """What the keeper does with every renewal of the lease."""
        for place in self.wanted:
            self.want(place)

    def send(self, endpoint: str, data: bytes) -> bool:
        peer = self.net.nodes.get(endpoint)
        if peer is not None and not {endpoint, self.endpoint} & self.net.cut:
            peer.unread.append(data)
        return True

    def close_link(self, endpoint: str) -> None:
        pass

    def turn(self) -> bool:
        busy = bool(self.unread or self.commands)
        self.engine.at(self.net.now)
        while self.unread:
            self.engine.received(self.unread.popleft())
        while self.commands:
            function, arguments = self.commands.popleft()
            function(*arguments)
        self.engine.flush()
        return busy

    def consume(self, address: Address = WORK, group: str = "", prefetch: int = 100) -> Receipt:
        local = LocalConsumer(address, group, self.got.append, prefetch)
        self.net.records.add(Record(Role.CONSUMER, *local.seat, self.name, self.endpoint))
        self.net.records.add(Record(Role.GROUP, *local.seat, "", ""))
        self.post(self.engine.consume, local)
        announced = Receipt()
        place = place_of(address)
        found = tuple(each for each in self.net.records if each.place == place)
        self.post(self.engine.announce, found, announced)
        self.net.run()
        self.cancel = lambda: self.post(self.engine.cancel, local)
        return announced

    def publish(
        self,
        body: bytes,
        address: Address = WORK,
        *,
        mandatory: bool = False,
        ttl: float | None = None,
    ) -> Receipt:
        receipt = Receipt()
        expires = None if ttl is None else self.net.now + ttl
        publication = Publication(
            address.kind, place_of(address), body, None, expires, mandatory, receipt
        )
        self.post(self.engine.outbox.publish, publication)
        self.net.run()
        return receipt

    @property
    def bodies(self) -> list[bytes]:
        return [each.body for each in self.got]


@pytest.fixture
def net() -> Net:
    return Net()


def test_a_publisher_goes_on_when_a_consumer_has_the_message_and_keeps_it_until_it_is_settled(
    net: Net,
) -> None:
    sender, consumer = net.node(1), net.node(2)
    consumer.consume()
    receipt = sender.publish(b"1")
    assert receipt.is_done
    assert receipt.error is None
    assert sender.engine.outbox.held == 1
    consumer.got[0].ack()
    net.run()
    assert sender.engine.outbox.held == 0


def test_what_a_dead_consumer_had_goes_to_another_marked(net: Net) -> None:
    sender, first, second = net.node(1), net.node(2), net.node(3)
    first.consume()
    for number in range(3):
        sender.publish(b"%d" % number)
    first.got[0].ack()
    net.run()
    net.kill(first)
    second.consume()
    assert second.bodies == []
    net.let_pass(5)
    assert second.bodies == [b"1", b"2"]
    assert all(each.redelivered for each in second.got)


def test_what_a_dead_consumer_had_waits_for_the_next_one(net: Net) -> None:
    sender, first = net.node(1), net.node(2)
    first.consume()
    sender.publish(b"1")
    net.kill(first)
    net.let_pass(5)
    second = net.node(3)
    second.consume()
    assert second.bodies == [b"1"]


def test_a_consumer_that_restarts_at_its_port_is_another_at_once(net: Net) -> None:
    sender, first = net.node(1), net.node(2)
    first.consume()
    sender.publish(b"1")
    net.kill(first)
    again = net.node(2)
    announced = again.consume()
    assert announced.is_done
    assert again.bodies == [b"1"]
    assert again.got[0].redelivered
    sender.publish(b"2")
    assert again.bodies == [b"1", b"2"]


def test_a_silent_peer_is_given_up_after_three_and_a_half_heartbeats(net: Net) -> None:
    sender, consumer = net.node(1), net.node(2)
    consumer.consume()
    sender.publish(b"1")
    consumer.got[0].ack()
    net.run()
    net.cut.add(consumer.endpoint)
    net.let_pass(3)
    assert not sender.publish(b"2", mandatory=True).is_done
    net.let_pass(1.5)
    receipt = sender.publish(b"3", mandatory=True)
    assert isinstance(receipt.error, NoRoute)


def test_a_mandatory_message_that_may_have_arrived_is_not_called_unroutable(net: Net) -> None:
    sender, consumer = net.node(1), net.node(2)
    consumer.consume()
    sender.publish(b"1")
    net.cut.add(consumer.endpoint)
    receipt = sender.publish(b"2", mandatory=True)
    net.let_pass(5)
    assert isinstance(receipt.error, BusUnavailable)


def test_a_peer_that_was_only_out_of_reach_goes_on_where_it_was(net: Net) -> None:
    sender, consumer = net.node(1), net.node(2)
    consumer.consume()
    sender.publish(b"1")
    net.cut.add(consumer.endpoint)
    net.let_pass(6)
    consumer.got[0].ack()
    net.run()
    net.cut.clear()
    net.let_pass(6)
    sender.publish(b"2")
    assert consumer.bodies == [b"1", b"2"]  # the first is known to be done, and not run again
    assert sender.engine.outbox.held == 1


def test_frames_lost_on_the_way_are_made_good(net: Net) -> None:
    sender, consumer = net.node(1), net.node(2)
    consumer.consume()
    sender.publish(b"1")
    net.cut.add(consumer.endpoint)
    lost = sender.publish(b"2")  # the message itself
    consumer.got[0].ack()  # and a settlement
    net.run()
    net.cut.clear()
    assert not lost.is_done
    net.let_pass(3)
    assert lost.is_done
    assert consumer.bodies == [b"1", b"2"]
    consumer.got[1].ack()
    net.run()
    assert sender.engine.outbox.held == 0


def test_a_join_lost_on_the_way_is_made_good(net: Net) -> None:
    sender, consumer = net.node(1), net.node(2)
    consumer.consume(Target("other").topic_address)
    sender.publish(b"0", Target("other").topic_address)
    sender.publish(b"1")
    net.cut.add(consumer.endpoint)
    consumer.consume()
    net.cut.clear()
    net.let_pass(3)
    assert consumer.bodies == [b"0", b"1"]


def test_a_new_consumer_is_known_to_those_who_publish_before_it_says_it_is_ready(
    net: Net,
) -> None:
    sender = net.node(1)
    fanout = Target("work").fanout_address
    sender.publish(b"nobody", fanout)
    listeners = [net.node(2), net.node(3)]
    for number, listener in enumerate(listeners):
        assert listener.consume(fanout, group=f"g{number}").is_done
    receipt = sender.publish(b"all", fanout)
    assert receipt.is_done
    assert [each.bodies for each in listeners] == [[b"all"], [b"all"]]


def test_a_listener_that_dies_takes_its_copy_with_it(net: Net) -> None:
    sender, one, two = net.node(1), net.node(2), net.node(3)
    fanout = Target("work").fanout_address
    one.consume(fanout, group="one")
    two.consume(fanout, group="two")
    net.cut.add(one.endpoint)
    receipt = sender.publish(b"all", fanout)
    net.let_pass(5)
    assert receipt.is_done
    assert receipt.error is None
    assert two.bodies == [b"all"]
    assert sender.engine.outbox.waiting == 0


def test_a_group_without_consumers_gets_what_was_published_meanwhile(net: Net) -> None:
    sender, one, two = net.node(1), net.node(2), net.node(3)
    one.consume(group="pool")
    two.consume(group="others")
    sender.publish(b"1")
    one.got[0].ack()
    one.cancel()
    net.run()
    sender.publish(b"2")
    again = net.node(4)
    again.consume(group="pool")
    assert again.bodies == [b"2"]
    assert two.bodies == [b"1", b"2"]


def test_a_cancelled_consumers_backlog_goes_to_another_in_order(net: Net) -> None:
    sender, one, two = net.node(1), net.node(2), net.node(3)
    one.consume(prefetch=1)
    for number in range(5):
        sender.publish(b"%d" % number)
    assert one.bodies == [b"0"]
    two.consume()
    one.cancel()
    net.run()
    assert two.bodies == [b"1", b"2", b"3", b"4"]
    assert not any(each.redelivered for each in two.got)


def test_a_leaving_node_gives_back_what_it_has(net: Net) -> None:
    sender, one, two = net.node(1), net.node(2), net.node(3)
    one.consume(prefetch=1)
    sender.publish(b"1")
    sender.publish(b"2")
    two.consume()
    done = Receipt()
    one.post(one.engine.leave, done)
    net.let_pass(0.2)
    assert done.is_done
    assert two.bodies == [b"1", b"2"]
    assert [each.redelivered for each in two.got] == [True, False]


def test_a_message_whose_sender_is_gone_is_still_brought_on(net: Net) -> None:
    sender, one = net.node(1), net.node(2)
    one.consume(prefetch=1)
    sender.publish(b"1")
    sender.publish(b"2")
    net.kill(sender)
    net.let_pass(5)
    two = net.node(3)
    two.consume()
    one.cancel()
    net.run()
    assert two.bodies == [b"2"]


def test_a_full_consumer_holds_up_its_publishers_and_loses_nothing(net: Net) -> None:
    roomy = ZmqSettings(heartbeat=1.0, max_messages=1000)
    sender, consumer = net.node(1, roomy), net.node(2, ZmqSettings(max_messages=10))
    consumer.consume(prefetch=1)
    receipts = [sender.publish(b"%d" % number) for number in range(30)]
    assert [each.is_done for each in receipts].count(True) == 10
    while len(consumer.got) < 30:
        for each in list(consumer.got):
            each.ack()
        net.let_pass(0.2)
    assert all(each.is_done for each in receipts)
    assert consumer.bodies == [b"%d" % number for number in range(30)]


def test_a_publisher_waits_while_its_outbox_is_full(net: Net) -> None:
    sender = net.node(1)
    receipts = [sender.publish(b"%d" % number) for number in range(51)]
    assert [each.is_done for each in receipts].count(False) == 1
    consumer = net.node(2)
    consumer.consume()
    consumer.got[0].ack()
    net.run()
    assert receipts[-1].is_done


def test_what_its_publisher_gave_up_on_reaches_nobody(net: Net) -> None:
    sender = net.node(1, ZmqSettings(max_messages=1))
    sender.publish(b"1")
    late = sender.publish(b"2")
    assert not late.is_done
    sender.post(sender.engine.outbox.withdraw, late)
    consumer = net.node(2)
    consumer.consume()
    consumer.got[0].ack()
    net.let_pass(2)
    assert consumer.bodies == [b"1"]


def test_an_expired_message_is_forgotten_while_it_waits(net: Net) -> None:
    sender = net.node(1)
    sender.publish(b"stale", ttl=1)
    net.let_pass(3)
    assert sender.engine.outbox.waiting == 0


def test_a_node_that_was_held_up_does_not_take_its_peers_for_dead(net: Net) -> None:
    sender, consumer = net.node(1), net.node(2)
    consumer.consume()
    sender.publish(b"1")
    net.now += 60  # the whole machine slept
    net.let_pass(1)
    assert sender.publish(b"2", mandatory=True).error is None
    assert consumer.bodies == [b"1", b"2"]


def test_an_answer_goes_back_to_whom_only_the_asker_told(net: Net) -> None:
    """Reply queues are known to those who were asked, whatever the matchmaker says."""
    asker, server = net.node(1), net.node(2)
    server.consume()
    reply = Target("unused").topic_address
    reply = Address(kind=type(reply.kind).REPLY, exchange="", name="reply_1")
    asker.consume(reply, group="asker.0")
    net.records = {each for each in net.records if each.endpoint == server.endpoint}
    asker.publish(b"question")
    assert server.publish(b"answer", reply, mandatory=True).error is None
    assert asker.bodies == [b"answer"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x93",
        encode(Batch("x", "tcp://127.0.0.1:2", "", [])) + b"x",
        b"\x94\xa1x\xa1y\xa0\x91\x92\x63\x01",
        b"\x91" * 5000,
    ],
)
def test_what_is_no_batch_is_dropped(net: Net, data: bytes) -> None:
    node = net.node(1)
    node.engine.received(data)
    assert not node.engine.peers


@pytest.mark.parametrize(
    "endpoint", ["", "tcp://10.0.0.1:1", "ipc:///tmp/x", "tcp://127.0.0.1:0", "tcp://127.0.0.1:1"]
)
def test_a_sender_that_may_not_be_answered_is_ignored(net: Net, endpoint: str) -> None:
    node = net.node(1)
    node.engine.received(encode(Batch("x", endpoint, "", [Join(1, place_of(WORK), "")])))
    assert not node.engine.peers


def test_a_place_that_is_none_is_ignored(net: Net) -> None:
    node = net.node(1)
    frames = [Join(1, "nonsense", ""), Message(1, "nonsense", "", b"")]
    node.engine.received(encode(Batch("x", "tcp://127.0.0.1:2", "", frames)))
    node.engine.flush()
    assert node.publish(b"1", mandatory=True).error is not None


def test_a_batch_survives_the_wire() -> None:
    batch = Batch(
        "a",
        "tcp://[::1]:2",
        "b",
        [Message(1, "p", "g", b"body", True, 2.5, {"k": "v"}), Join(1, "p", "")],
    )
    assert decode(encode(batch)) == batch
