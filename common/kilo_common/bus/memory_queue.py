"""A queue of the in-memory driver: messages in order, and the consumers that share them.

Its methods are called with the broker's lock held, unless they say otherwise. Nothing here calls a
consumer: whoever picks a message hands it over himself, after he has let go of the lock.
"""

from collections import deque
from collections.abc import Iterable, Mapping

import msgspec

from kilo_common.bus.target import Address, Kind
from kilo_common.bus.transport import Deliver
from kilo_common.clock import Clock

LASTING = frozenset({Kind.QUEUE, Kind.DEAD})
"""Kinds whose queues are there without a consumer."""


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


class Seat:
    """One consumer's place at a queue, and how many messages it has in hand."""

    __slots__ = ("deliver", "held", "prefetch", "queue")

    def __init__(self, queue: "MemoryQueue", deliver: Deliver, prefetch: int) -> None:
        self.queue = queue
        self.deliver = deliver
        self.prefetch = prefetch
        self.held = 0


Pick = tuple[Seat, MemoryMessage]
"""A message, and who gets it."""


class MemoryQueue:
    """`giving` marks the one thread that hands out, so that order is kept."""

    def __init__(self, address: Address, group: str, clock: Clock, *, stepped: bool) -> None:
        """A `stepped` one gives something only to whoever asks for a step."""
        self.address = address
        self.group = group
        self.waiting: deque[MemoryMessage] = deque()
        self.seats: list[Seat] = []
        self.giving = False
        self._in_hand: dict[int, Pick] = {}
        self._turn = 0
        self._clock = clock
        self._stepped = stepped

    def put(self, message: MemoryMessage) -> Pick | None:
        """Add a message to the end; what is to be handed over now, as `pick` has it."""
        self.waiting.append(message)
        return self.pick()

    def pick(self, *, step: bool = False) -> Pick | None:
        """Take out the next message and choose who gets it. None if there is nothing to give, or
        if somebody is giving: that one then picks again."""
        if self.giving or not self.waiting or (self._stepped and not step):
            return None
        if self.next() is None or (seat := self._ready()) is None:
            return None
        message = self.waiting.popleft()
        seat.held += 1
        pick = self._in_hand[message.number] = (seat, message)
        self.giving = True
        return pick

    def next(self) -> MemoryMessage | None:
        """The next message that has not expired, left in place."""
        while self.waiting:
            message = self.waiting[0]
            if message.expires is None or message.expires > self._clock.monotonic():
                return message
            self.waiting.popleft()
        return None

    def has_room(self) -> bool:
        """Whether somebody could take a message now."""
        return not self.giving and any(each.held < each.prefetch for each in self.seats)

    def take_back(self, seat: Seat, number: int) -> MemoryMessage | None:
        """A message out of a consumer's hands. None if it was settled before, or was given to
        somebody else since the bus stopped."""
        pick = self._in_hand.get(number)
        if pick is None or pick[0] is not seat:
            return None
        del self._in_hand[number]
        seat.held -= 1
        return pick[1]

    def put_back(self, messages: Iterable[MemoryMessage]) -> None:
        """Return messages to the head, in the order they were published, as redelivered."""
        for message in sorted(messages, key=lambda each: each.number, reverse=True):
            again = MemoryMessage(
                message.number, message.body, message.headers, message.expires, True
            )
            self.waiting.appendleft(again)

    def abandon(self) -> None:
        """All consumers are gone: what they had in hand waits again."""
        self.seats.clear()
        self.put_back(message for _seat, message in self._in_hand.values())
        self._in_hand.clear()

    def view(self) -> QueueView:
        """What the queue holds at this moment."""
        in_hand = tuple(message for _seat, message in self._in_hand.values())
        return QueueView(self.address, self.group, tuple(self.waiting), in_hand, len(self.seats))

    def _ready(self) -> Seat | None:
        """The next consumer that has room, in turn."""
        seats = self.seats
        for step in range(len(seats)):
            seat = seats[(self._turn + step) % len(seats)]
            if seat.held < seat.prefetch:
                self._turn = (self._turn + step + 1) % len(seats)
                return seat
        return None
