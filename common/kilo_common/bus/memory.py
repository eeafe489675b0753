"""The in-memory driver: a real broker inside one process, for the all-in-one stack and for tests.

Queues keep their order; a message is held until it is acknowledged and comes again, first and
marked, when its consumer goes away. Nothing survives the process. A message is handed over on the
thread that published it, or that made room for it: no thread stands between the two. What is true
of one queue is in `memory_queue.py`.
"""

import itertools
import logging
import threading
from collections.abc import Mapping
from functools import partial

from kilo_common.bus.errors import BusUnavailable, NoRoute
from kilo_common.bus.memory_queue import (
    LASTING,
    MemoryMessage,
    MemoryQueue,
    Pick,
    QueueView,
    Seat,
)
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

__all__ = ["MemoryMessage", "MemoryTransport", "QueueView"]

log = logging.getLogger(__name__)
_NO_HEADERS: Mapping[str, str] = {}
_NO_QUEUES: Mapping[str, MemoryQueue] = {}


class _MemoryConsumer(Consumer):
    """A consumer of one queue."""

    def __init__(self, broker: "MemoryTransport", seat: Seat) -> None:
        self._broker = broker
        self._seat = seat

    def cancel(self) -> None:
        self._broker.remove(self._seat)


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
        self._bindings: dict[Address, dict[str, MemoryQueue]] = {}
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
                queue.abandon()

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
            queues = self._bindings.get(address, _NO_QUEUES)
            if not queues and address.kind in LASTING and not mandatory:
                queues = {"": self._bind(address, "")}
            message = MemoryMessage(next(self._numbers), body, kept, expires)
            picks = [queue.put(message) for queue in queues.values()]
        if mandatory and not picks:
            raise NoRoute(f"Nobody listens at {address.name}", address=address.name)
        for pick in picks:
            self._give(pick)

    def consume(
        self, address: Address, deliver: Deliver, *, group: str = "", prefetch: int = 16
    ) -> Consumer:
        self.check()
        with self._lock:
            lasting = address.kind in LASTING
            queue = self._bind(address, group if lasting else f"{group}#{next(self._names)}")
            seat = Seat(queue, deliver, prefetch)
            queue.seats.append(seat)
            pick = queue.pick()
        self._give(pick)
        return _MemoryConsumer(self, seat)

    def step(self) -> bool:
        """Give out the message that was published first of those that anybody takes; whether there
        was one. Between two threads that step, neither knows which message it gave."""
        with self._lock:
            able = [each for each in self._queues() if each.next() and each.has_room()]
            if not able:
                return False
            queue = min(able, key=lambda each: each.waiting[0].number)
            pick = queue.pick(step=True)
        if pick is not None:
            self._hand_over(pick)
        return pick is not None

    def look(self) -> list[QueueView]:
        """What the queues hold at this moment."""
        with self._lock:
            return [each.view() for each in self._queues()]

    def remove(self, seat: Seat) -> None:
        """Give a consumer no more messages; its queue goes with it unless it is a lasting one."""
        queue = seat.queue
        with self._lock:
            if seat in queue.seats:
                queue.seats.remove(seat)
                if queue.address.kind not in LASTING:
                    queues = self._bindings[queue.address]
                    del queues[queue.group]
                    if not queues:
                        del self._bindings[queue.address]

    # --- what becomes of a message in a consumer's hands; settled before is no error -------------

    def _acknowledge(self, seat: Seat, number: int) -> None:
        with self._lock:
            seat.queue.take_back(seat, number)
            pick = seat.queue.pick()
        self._give(pick)

    def _requeue(self, seat: Seat, number: int) -> None:
        with self._lock:
            message = seat.queue.take_back(seat, number)
            if message is not None:
                seat.queue.put_back([message])
            pick = seat.queue.pick()
        self._give(pick)

    def _reject(self, seat: Seat, number: int, reason: str) -> None:
        queue = seat.queue
        with self._lock:
            message = queue.take_back(seat, number)
            pick = queue.pick()
        if message is not None and queue.address.kind is Kind.QUEUE:
            headers = {**message.headers, DEAD_REASON: reason[:REASON_LIMIT]}
            self.publish(queue.address.dead_letters(queue.group), message.body, headers=headers)
        self._give(pick)

    # --- handing over, without the lock ----------------------------------------------------------

    def _give(self, pick: Pick | None) -> None:
        """Hand over, and go on while there is something to give."""
        while pick is not None:
            pick = self._hand_over(pick)

    def _hand_over(self, pick: Pick) -> Pick | None:
        """Hand over one message; the next that this thread is to hand over."""
        seat, message = pick
        number = message.number
        delivery = Delivery(
            message.body,
            message.redelivered,
            message.headers,
            partial(self._acknowledge, seat, number),
            partial(self._requeue, seat, number),
            partial(self._reject, seat, number),
        )
        try:
            seat.deliver(delivery)
        except Exception:  # a consumer's fault must not reach whoever published
            log.exception("a consumer failed to take a message")
            if message.redelivered:
                delivery.reject("no consumer could take it")
            else:
                delivery.requeue()
        queue = seat.queue
        # In this order no lock is needed: whoever puts a message in and still sees us giving has
        # put it there before we look.
        queue.giving = False
        if not queue.waiting:
            return None
        with self._lock:
            return queue.pick()

    # --- with the lock held ----------------------------------------------------------------------

    def _queues(self) -> list[MemoryQueue]:
        return [each for queues in self._bindings.values() for each in queues.values()]

    def _bind(self, address: Address, name: str) -> MemoryQueue:
        """The queue of that name at the address, made if there is none."""
        queues = self._bindings.setdefault(address, {})
        if name not in queues:
            queues[name] = MemoryQueue(address, name, self._clock, stepped=self._stepped)
        return queues[name]
