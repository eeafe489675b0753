"""The in-memory driver: a real broker inside one process, for the all-in-one stack and for tests.

Queues keep their order; a message is held until it is acknowledged and comes again, first and
marked, when its consumer goes away. Nothing survives the process. A message is handed over on the
thread that published it, or that made room for it: no thread stands between the two.
"""

import itertools
import logging
import threading
from collections import deque
from collections.abc import Iterable, Mapping

import msgspec

from kilo_common.bus.errors import BusUnavailable, NoRoute
from kilo_common.bus.target import Address, Kind
from kilo_common.bus.transport import (
    DEAD_REASON,
    REASON_LIMIT,
    Capability,
    Consumer,
    Deliver,
    Delivery,
    Transport,
)
from kilo_common.clock import Clock, SystemClock

log = logging.getLogger(__name__)
_LASTING = frozenset({Kind.QUEUE, Kind.DEAD})
"""Kinds whose queues are there without a consumer."""
_NO_HEADERS: Mapping[str, str] = {}


class MemoryMessage(msgspec.Struct, frozen=True):
    """A message as the broker holds it."""

    number: int
    """In the order of publishing."""
    body: bytes
    headers: Mapping[str, str]
    expires: float | None
    redelivered: bool = False


class QueueView(msgspec.Struct, frozen=True):
    """What one queue holds at a moment, for tests and for people who look."""

    address: Address
    group: str
    waiting: tuple[MemoryMessage, ...]
    in_hand: tuple[MemoryMessage, ...]
    consumers: int


class _Queue:
    """Messages in order and the consumers that share them. Its fields change under the broker's
    lock only; `giving` marks the one thread that hands out, so that order is kept."""

    def __init__(self, address: Address, group: str) -> None:
        self.address = address
        self.group = group
        self.waiting: deque[MemoryMessage] = deque()
        self.consumers: list[_MemoryConsumer] = []
        self.in_hand: dict[int, tuple[_MemoryConsumer, MemoryMessage]] = {}
        self.turn = 0
        self.giving = False

    def has_room(self) -> bool:
        """Whether somebody could take a message now."""
        return not self.giving and any(each.held < each.prefetch for each in self.consumers)

    def ready(self) -> "_MemoryConsumer | None":
        """The next consumer that has room, in turn."""
        consumers = self.consumers
        for step in range(len(consumers)):
            consumer = consumers[(self.turn + step) % len(consumers)]
            if consumer.held < consumer.prefetch:
                self.turn = (self.turn + step + 1) % len(consumers)
                return consumer
        return None

    def put_back(self, messages: Iterable[MemoryMessage]) -> None:
        """Return messages to the head, in the order they were published, as redelivered."""
        for message in sorted(messages, key=lambda each: each.number, reverse=True):
            again = MemoryMessage(
                message.number, message.body, message.headers, message.expires, True
            )
            self.waiting.appendleft(again)


class _MemoryConsumer(Consumer):
    """One consumer of one queue, and how many messages it has in hand."""

    def __init__(
        self, broker: "MemoryTransport", queue: _Queue, deliver: Deliver, prefetch: int
    ) -> None:
        self.broker = broker
        self.queue = queue
        self.deliver = deliver
        self.prefetch = prefetch
        self.held = 0

    def cancel(self) -> None:
        self.broker.remove(self)


class _MemoryDelivery(Delivery):
    """A delivery whose verbs are methods: closures and frozen fields would cost as much as the
    rest of its way."""

    consumer: _MemoryConsumer
    number: int

    def __init__(self, consumer: _MemoryConsumer, message: MemoryMessage) -> None:
        self.__dict__ = {
            "body": message.body,
            "redelivered": message.redelivered,
            "headers": message.headers,
            "consumer": consumer,
            "number": message.number,
        }

    def ack(self) -> None:
        self.consumer.broker.acknowledge(self.consumer, self.number)

    def requeue(self) -> None:
        self.consumer.broker.requeue(self.consumer, self.number)

    def reject(self, reason: str) -> None:
        self.consumer.broker.reject(self.consumer, self.number, reason)


_Pick = tuple[_MemoryConsumer, MemoryMessage]


class MemoryTransport(Transport):
    """`memory://`: a broker and the connection to it in one; two of them never meet."""

    capabilities = frozenset({Capability.MANDATORY, Capability.EXPIRATION, Capability.ORDERED})

    def __init__(
        self, url: str = "memory://", clock: Clock | None = None, *, stepped: bool = False
    ) -> None:
        """A `stepped` one hands nothing out by itself: each `step` gives out one message."""
        del url  # it has nothing to say
        self._clock = clock or SystemClock()
        self._stepped = stepped
        self._lock = threading.Lock()
        self._bindings: dict[Address, dict[str, _Queue]] = {}
        self._numbers = itertools.count()
        self._names = itertools.count()
        self._stopped = False

    def start(self) -> None:
        self._stopped = False

    def stop(self, timeout: float) -> None:
        del timeout  # nothing here takes time
        with self._lock:
            self._stopped = True
            for queue in self._queues():
                queue.consumers.clear()
                queue.put_back(message for _consumer, message in queue.in_hand.values())
                queue.in_hand.clear()

    def check(self) -> None:
        if self._stopped:
            raise BusUnavailable("The in-memory bus is stopped", may_have_been_published=False)

    def publish(
        self,
        address: Address,
        body: bytes,
        *,
        ttl: float | None = None,
        mandatory: bool = False,
        timeout: float = 30.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        del timeout  # it is in the queue at once
        self.check()
        expires = None if ttl is None else self._clock.monotonic() + ttl
        kept = dict(headers) if headers else _NO_HEADERS
        with self._lock:
            message = MemoryMessage(next(self._numbers), body, kept, expires)
            queues = list(self._bindings.get(address, {}).values())
            if not queues and address.kind in _LASTING and not mandatory:
                queues = [self._bind(address, "")]
            picks = []
            for queue in queues:
                queue.waiting.append(message)
                picks.append(self._pick(queue))
        if not queues and mandatory:
            raise NoRoute(f"Nobody listens at {address.name}", address=address.name)
        for pick in picks:
            self._give(pick)

    def consume(
        self, address: Address, deliver: Deliver, *, group: str = "", prefetch: int = 16
    ) -> Consumer:
        self.check()
        with self._lock:
            lasting = address.kind in _LASTING
            queue = self._bind(address, group if lasting else f"{group}#{next(self._names)}")
            consumer = _MemoryConsumer(self, queue, deliver, prefetch)
            queue.consumers.append(consumer)
            pick = self._pick(queue)
        self._give(pick)
        return consumer

    def step(self) -> bool:
        """Give out the message that was published first of those that anybody takes; whether there
        was one. Between two threads that step, neither knows which message it gave."""
        with self._lock:
            able = [each for each in self._queues() if self._next(each) and each.has_room()]
            if not able:
                return False
            queue = min(able, key=lambda each: each.waiting[0].number)
            pick = self._pick(queue, step=True)
        if pick is not None:
            self._hand_over(pick)
        return pick is not None

    def look(self) -> list[QueueView]:
        """What the queues hold at this moment."""
        with self._lock:
            return [
                QueueView(
                    each.address,
                    each.group,
                    tuple(each.waiting),
                    tuple(message for _consumer, message in each.in_hand.values()),
                    len(each.consumers),
                )
                for each in self._queues()
            ]

    def remove(self, consumer: _MemoryConsumer) -> None:
        """Give `consumer` no more messages; its queue goes with it unless it is a lasting one."""
        queue = consumer.queue
        with self._lock:
            if consumer in queue.consumers:
                queue.consumers.remove(consumer)
                if queue.address.kind not in _LASTING:
                    self._bindings.get(queue.address, {}).pop(queue.group, None)

    def acknowledge(self, consumer: _MemoryConsumer, number: int) -> None:
        """Forget a message; one that was settled before is no error."""
        with self._lock:
            self._take_back(consumer, number)
            pick = self._pick(consumer.queue)
        self._give(pick)

    def requeue(self, consumer: _MemoryConsumer, number: int) -> None:
        """Give a message out again; one that was settled before is no error."""
        with self._lock:
            message = self._take_back(consumer, number)
            if message is not None:
                consumer.queue.put_back([message])
            pick = self._pick(consumer.queue)
        self._give(pick)

    def reject(self, consumer: _MemoryConsumer, number: int, reason: str) -> None:
        """Bury a message; one that was settled before is no error."""
        with self._lock:
            message = self._take_back(consumer, number)
            pick = self._pick(consumer.queue)
        address = consumer.queue.address
        if message is not None and address.kind is Kind.QUEUE:
            headers = {**message.headers, DEAD_REASON: reason[:REASON_LIMIT]}
            self.publish(address.dead_letters(consumer.queue.group), message.body, headers=headers)
        self._give(pick)

    # The methods below are called with the lock held, but for `_give` and `_hand_over`.

    def _take_back(self, consumer: _MemoryConsumer, number: int) -> MemoryMessage | None:
        in_hand = consumer.queue.in_hand
        holder, message = in_hand.get(number, (None, None))
        if holder is not consumer:
            return None  # settled before, or given to somebody else since the bus stopped
        del in_hand[number]
        consumer.held -= 1
        return message

    def _pick(self, queue: _Queue, *, step: bool = False) -> _Pick | None:
        """A message and who gets it; whoever picked must hand over. None if there is nothing to
        give, or if somebody is giving: that one then picks again."""
        if queue.giving or not queue.waiting or (self._stepped and not step):
            return None
        if self._next(queue) is None or (consumer := queue.ready()) is None:
            return None
        message = queue.waiting.popleft()
        consumer.held += 1
        queue.in_hand[message.number] = (consumer, message)
        queue.giving = True
        return consumer, message

    def _give(self, pick: _Pick | None) -> None:
        """Hand over, and go on while there is something to give."""
        while pick is not None:
            pick = self._hand_over(pick)

    def _hand_over(self, pick: _Pick) -> _Pick | None:
        consumer, message = pick
        try:
            consumer.deliver(_MemoryDelivery(consumer, message))
        except Exception:  # a consumer's fault must not reach whoever published
            log.exception("a consumer failed to take a message")
            if message.redelivered:
                self.reject(consumer, message.number, "no consumer could take it")
            else:
                self.requeue(consumer, message.number)
        with self._lock:
            consumer.queue.giving = False
            return self._pick(consumer.queue)

    def _next(self, queue: _Queue) -> MemoryMessage | None:
        """The next message that has not expired, left in place."""
        while queue.waiting:
            message = queue.waiting[0]
            if message.expires is None or message.expires > self._clock.monotonic():
                return message
            queue.waiting.popleft()
        return None

    def _queues(self) -> list[_Queue]:
        return [each for queues in self._bindings.values() for each in queues.values()]

    def _bind(self, address: Address, name: str) -> _Queue:
        """The queue of that name at the address, made if there is none."""
        queues = self._bindings.setdefault(address, {})
        if name not in queues:
            queues[name] = _Queue(address, name)
        return queues[name]
