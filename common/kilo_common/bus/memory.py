"""The in-memory driver: a real broker inside one process, for the all-in-one stack and for tests.

Queues keep their order; a message is held until it is acknowledged and comes again, first and
marked, when its consumer goes away. Nothing survives the process.
"""

import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

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


@dataclass(frozen=True)
class _Message:
    body: bytes
    headers: Mapping[str, str]
    expires: float | None
    redelivered: bool = False


class _Queue:
    """Messages in order, the consumers that share them, and what each has in hand."""

    def __init__(self, clock: Clock) -> None:
        self.waiting: deque[_Message] = deque()
        self.changed = threading.Condition()
        self._clock = clock

    def put(self, body: bytes, headers: Mapping[str, str], ttl: float | None) -> None:
        expires = None if ttl is None else self._clock.monotonic() + ttl
        with self.changed:
            self.waiting.append(_Message(body, headers, expires))
            self.changed.notify()

    def take(self) -> _Message | None:
        """The next message that has not expired. Called with `changed` held."""
        while self.waiting:
            message = self.waiting.popleft()
            if message.expires is None or message.expires > self._clock.monotonic():
                return message
        return None

    def put_back(self, messages: list[_Message]) -> None:
        """Return messages, in their order, to the head of the queue."""
        with self.changed:
            for message in reversed(messages):
                self.waiting.appendleft(replace(message, redelivered=True))
            self.changed.notify_all()


class _MemoryConsumer(Consumer):
    """One thread that gives a queue's messages to one function."""

    def __init__(
        self,
        queue: _Queue,
        deliver: Deliver,
        prefetch: int,
        bury: Callable[[_Message, str], None],
        gone: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._deliver = deliver
        self._prefetch = prefetch
        self._bury = bury
        self._gone = gone
        self._in_hand: dict[int, _Message] = {}
        self._tags = itertools.count()
        self._running = True
        self._thread = threading.Thread(target=self._run, name="memory-consumer", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        with self._queue.changed:
            self._running = False
            self._queue.changed.notify_all()
        self._gone()

    def abandon(self) -> None:
        """Cancel, and give out again what was not finished: the connection is lost."""
        self.cancel()
        with self._queue.changed:
            unfinished = list(self._in_hand.values())
            self._in_hand.clear()
        self._queue.put_back(unfinished)

    def _run(self) -> None:
        queue = self._queue
        while True:
            with queue.changed:
                message = None
                while self._running and message is None:
                    if len(self._in_hand) < self._prefetch:
                        message = queue.take()
                    if message is None:
                        queue.changed.wait()
                if not self._running:
                    if message is not None:
                        queue.waiting.appendleft(message)
                        queue.changed.notify()
                    return
                assert message is not None
                tag = next(self._tags)
                self._in_hand[tag] = message
            try:
                self._deliver(self._delivery(tag, message))
            except Exception:
                log.exception("a consumer failed to take a message")
                self._requeue(tag)

    def _delivery(self, tag: int, message: _Message) -> Delivery:
        return Delivery(
            body=message.body,
            redelivered=message.redelivered,
            headers=message.headers,
            ack=lambda: self._ack(tag),
            requeue=lambda: self._requeue(tag),
            reject=lambda reason: self._reject(tag, reason),
        )

    def _ack(self, tag: int) -> None:
        self._settle(tag)

    def _settle(self, tag: int) -> _Message | None:
        with self._queue.changed:
            message = self._in_hand.pop(tag, None)
            self._queue.changed.notify_all()
            return message

    def _requeue(self, tag: int) -> None:
        message = self._settle(tag)
        if message is not None:
            self._queue.put_back([message])

    def _reject(self, tag: int, reason: str) -> None:
        message = self._settle(tag)
        if message is not None:
            self._bury(message, reason)


class MemoryTransport(Transport):
    """`memory://`: a broker and the connection to it in one; two of them never meet."""

    capabilities = frozenset({Capability.MANDATORY, Capability.EXPIRATION, Capability.ORDERED})

    def __init__(self, url: str = "memory://", clock: Clock | None = None) -> None:
        del url  # it has nothing to say
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._bindings: dict[Address, dict[str, _Queue]] = {}
        self._consumers: list[_MemoryConsumer] = []
        self._names = itertools.count()
        self._stopped = False

    def start(self) -> None:
        self._stopped = False

    def stop(self, timeout: float) -> None:
        del timeout  # nothing here takes time
        self._stopped = True
        for consumer in list(self._consumers):
            consumer.abandon()

    def check(self) -> None:
        if self._stopped:
            raise BusUnavailable("The in-memory bus is stopped")

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
        with self._lock:
            queues = list(self._bindings.get(address, {}).values())
            if not queues and address.kind in _LASTING and not mandatory:
                queues = [self._bind(address, "")]
        if mandatory and not queues:
            raise NoRoute(f"Nobody listens at {address.name}", address=address.name)
        for queue in queues:
            queue.put(body, dict(headers or {}), ttl)

    def consume(
        self, address: Address, deliver: Deliver, *, group: str = "", prefetch: int = 16
    ) -> Consumer:
        self.check()
        with self._lock:
            shared = address.kind in _LASTING
            name = group if shared else f"{group}#{next(self._names)}"
            queue = self._bind(address, name)

            def gone() -> None:
                with self._lock:
                    if consumer in self._consumers:
                        self._consumers.remove(consumer)
                    if not shared:
                        self._bindings[address].pop(name, None)

            def bury(message: _Message, reason: str) -> None:
                if address.kind is Kind.QUEUE:
                    headers = {**message.headers, DEAD_REASON: reason[:REASON_LIMIT]}
                    self.publish(address.dead_letters(group), message.body, headers=headers)

            consumer = _MemoryConsumer(queue, deliver, prefetch, bury, gone)
            self._consumers.append(consumer)
        return consumer

    def _bind(self, address: Address, name: str) -> _Queue:
        """The queue of that name at the address. Called with the lock held."""
        queues = self._bindings.setdefault(address, {})
        if name not in queues:
            queues[name] = _Queue(self._clock)
        return queues[name]
