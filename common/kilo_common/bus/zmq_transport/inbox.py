"""The receiver's side: messages in this process's memory, and the consumers they go to.

No I/O, one thread. What is accepted here is settled, or given back to its sender.
"""

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from kilo_common.bus.target import Address, Kind
from kilo_common.bus.transport import Deliver, Delivery
from kilo_common.bus.zmq_transport.frames import Message, Refused, Returned
from kilo_common.bus.zmq_transport.letters import LASTING
from kilo_common.bus.zmq_transport.matchmaking.base import address_in, place_of
from kilo_common.bus.zmq_transport.peers import Peer
from kilo_common.bus.zmq_transport.settings import ZmqSettings

log = logging.getLogger(__name__)
FINISHED_REMEMBERED = 16_384
"""How many settled messages are known when their sender asks, or sends them again."""
Post = Callable[..., None]


class LocalConsumer:
    """One `consume` of this process."""

    def __init__(self, address: Address, group: str, deliver: Deliver, prefetch: int) -> None:
        self.address = address
        self.place = place_of(address)
        self.group = group
        self.deliver = deliver
        self.prefetch = max(1, prefetch)
        self.in_hand = 0

    @property
    def seat(self) -> tuple[str, str]:
        """What it consumes, as nodes say it."""
        return self.place, self.group


class Item:
    """A message in this process's memory."""

    __slots__ = (
        "body",
        "consumer",
        "expires",
        "headers",
        "id",
        "is_done",
        "node",
        "redelivered",
        "seat",
    )

    def __init__(self, node: str, message: Message, now: float) -> None:
        self.node = node
        self.id = message.id
        self.seat = (message.place, message.group)
        self.body = message.body
        self.headers: Mapping[str, str] = message.headers or {}
        self.expires = None if message.ttl is None else now + message.ttl
        self.redelivered = message.redelivered
        self.consumer: LocalConsumer | None = None
        self.is_done = False

    def again(self) -> "Item":
        """The same message for another attempt."""
        item = Item.__new__(Item)
        item.node, item.id, item.seat = self.node, self.id, self.seat
        item.body, item.headers, item.expires = self.body, self.headers, self.expires
        item.redelivered, item.consumer, item.is_done = True, None, False
        return item


class Seat:
    """The consumers of one place and group, and the messages that wait for them."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.consumers: deque[LocalConsumer] = deque()
        self.waiting: deque[Item] = deque()

    def free(self) -> LocalConsumer | None:
        """A consumer with room, each in turn."""
        for _each in self.consumers:
            consumer = self.consumers[0]
            self.consumers.rotate(-1)
            if consumer.in_hand < consumer.prefetch:
                return consumer
        return None


class Inbox:
    """All messages that this process has accepted and not settled."""

    def __init__(
        self,
        settings: ZmqSettings,
        by_node: Mapping[str, Peer],
        post: Post,
        *,
        adopt: Callable[[Item, Address], None],
        bury: Callable[[Item, Address, str], None],
    ) -> None:
        """`post` runs a function in the engine's thread.

        `adopt` takes a message that is given back when its sender is gone; `bury` puts a rejected
        one among the dead letters.
        """
        self.now = 0.0
        self._limits = settings
        self._by_node = by_node
        self._post = post
        self._adopt = adopt
        self._bury = bury
        self._seats: dict[tuple[str, str], Seat] = {}
        self._items: dict[tuple[str, int], Item] = {}
        self._finished: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._bytes = 0

    @property
    def seats(self) -> list[tuple[str, str]]:
        """Everything that is consumed here."""
        return list(self._seats)

    def add(self, consumer: LocalConsumer) -> bool:
        """Begin to consume; whether the seat is new."""
        seat = self._seats.get(consumer.seat)
        is_new = seat is None
        if seat is None:
            seat = self._seats[consumer.seat] = Seat(consumer.address)
        seat.consumers.append(consumer)
        self._hand_out(seat)
        return is_new

    def remove(self, consumer: LocalConsumer) -> list[Item] | None:
        """End a consumption. If it was the seat's last, the items that nobody here will take."""
        seat = self._seats.get(consumer.seat)
        if seat is None or consumer not in seat.consumers:
            return None
        seat.consumers.remove(consumer)
        if seat.consumers:
            return None
        del self._seats[consumer.seat]
        return list(seat.waiting)

    def take(self, peer: Peer, message: Message) -> None:
        """A message from a peer: accept or refuse it."""
        key = (peer.node, message.id)
        if key in self._items:
            peer.accepted.append(message.id)
            return
        if key in self._finished:
            peer.settled.append(message.id)
            return
        seat = self._seats.get((message.place, message.group))
        if seat is None:
            peer.out.append(Refused(message.id, False))
            return
        if len(self._items) >= self._limits.max_messages or self._bytes >= self._limits.max_bytes:
            peer.out.append(Refused(message.id, True))
            return
        item = Item(peer.node, message, self.now)
        self._items[key] = item
        self._bytes += len(item.body)
        if seat.address.kind is not Kind.REPLY:
            peer.accepted.append(message.id)
        seat.waiting.append(item)
        self._hand_out(seat)

    def unknown(self, peer: Peer, ids: list[int]) -> list[int]:
        """Which of a peer's messages never arrived; those that are settled are said again."""
        lost = []
        for number in ids:
            key = (peer.node, number)
            if key in self._finished:
                peer.settled.append(number)
            elif key in self._items:
                peer.accepted.append(number)
            else:
                lost.append(number)
        return lost

    def resume(self) -> None:
        """Hand out what a consumer failed to take the last time."""
        for seat in list(self._seats.values()):
            self._hand_out(seat)

    def give_back(self, item: Item) -> None:
        """Return an item to its sender; if that is gone, it is this node's to bring on."""
        address = self._address(item)
        self._drop(item)
        peer = self._by_node.get(item.node)
        if address.kind not in LASTING:
            if peer is not None:
                peer.settled.append(item.id)
            return
        redelivered = item.redelivered or item.consumer is not None
        if peer is not None:
            peer.out.append(Returned(item.id, redelivered))
        else:
            item.redelivered = redelivered
            self._adopt(item, address)

    def close(self) -> None:
        """Consume nothing more."""
        self._seats.clear()

    def give_back_all(self) -> None:
        """Return everything: this node is leaving."""
        for item in list(self._items.values()):
            item.is_done = True
            self.give_back(item)

    def _hand_out(self, seat: Seat) -> None:
        while seat.waiting:
            consumer = seat.free()
            if consumer is None:
                return
            item = seat.waiting.popleft()
            if item.expires is not None and item.expires <= self.now:
                self._finish(item)
                continue
            item.consumer = consumer
            consumer.in_hand += 1
            try:
                consumer.deliver(self._delivery(item))
            except Exception:
                log.exception("a consumer failed to take a message")
                consumer.in_hand -= 1
                item.is_done = True
                again = item.again()
                self._items[again.node, again.id] = again
                seat.waiting.appendleft(again)
                return  # until the next tick: not a busy loop while it keeps failing

    def _delivery(self, item: Item) -> Delivery:
        post: Any = self._post
        return Delivery(
            item.body,
            item.redelivered,
            item.headers,
            partial(post, self._ack, item),
            partial(post, self._requeue, item),
            partial(post, self._reject, item),
        )

    def _ack(self, item: Item) -> None:
        if self._let_go(item):
            self._finish(item)
            self._next(item)

    def _requeue(self, item: Item) -> None:
        if not self._let_go(item):
            return
        seat = self._seats.get(item.seat)
        if seat is None:
            self.give_back(item)
            return
        again = item.again()
        self._items[again.node, again.id] = again
        seat.waiting.appendleft(again)
        self._hand_out(seat)

    def _reject(self, item: Item, reason: str) -> None:
        if self._let_go(item):
            address = self._address(item)
            if address.kind is Kind.QUEUE:
                self._bury(item, address, reason)
            self._finish(item)
            self._next(item)

    def _let_go(self, item: Item) -> bool:
        """The consumer has no longer the item in hand; False if it had settled it before."""
        if item.is_done:
            return False
        item.is_done = True
        if item.consumer is not None:
            item.consumer.in_hand -= 1
        return True

    def _next(self, item: Item) -> None:
        seat = self._seats.get(item.seat)
        if seat is not None and seat.waiting:
            self._hand_out(seat)

    def _finish(self, item: Item) -> None:
        self._drop(item)
        self._finished[item.node, item.id] = None
        if len(self._finished) > FINISHED_REMEMBERED:
            self._finished.popitem(last=False)
        peer = self._by_node.get(item.node)
        if peer is not None:
            peer.settled.append(item.id)

    def _drop(self, item: Item) -> None:
        if self._items.pop((item.node, item.id), None) is not None:
            self._bytes -= len(item.body)

    def _address(self, item: Item) -> Address:
        return address_in(item.seat[0])
