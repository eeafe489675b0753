"""What a node keeps of the messages it published: until a consumer has dealt with each."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from kilo_common.bus.target import Kind
from kilo_common.errors import KiloError

LASTING = frozenset({Kind.QUEUE, Kind.DEAD})
"""Kinds whose messages wait when there is nobody, and go to another when a consumer dies."""


class Receipt:
    """What a publisher waits for. The engine completes it; any thread waits, once."""

    __slots__ = ("_done", "_lock", "error", "pending")

    def __init__(self) -> None:
        self.error: KiloError | None = None
        self.pending = 0
        """Copies of the message of which we do not know yet that somebody has them."""
        self._done = False
        self._lock = threading.Lock()
        self._lock.acquire()

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to wait for."""
        return self._done

    def wait(self, timeout: float) -> bool:
        """Whether it was completed within `timeout` seconds."""
        return self._lock.acquire(timeout=max(0.0, timeout))

    def one_less(self) -> None:
        """One more copy is in good hands."""
        self.pending -= 1
        if self.pending <= 0:
            self.complete()

    def complete(self, error: KiloError | None = None) -> None:
        """Let the publisher go on; only the first time counts."""
        if not self._done:
            self._done = True
            self.error = error
            self._lock.release()


@dataclass(slots=True)
class Publication:
    """A message as its publisher handed it over."""

    kind: Kind
    place: str
    body: bytes
    headers: Mapping[str, str] | None
    expires: float | None
    mandatory: bool
    receipt: Receipt
    rechecked: bool = False
    """The matchmaker has been asked again before telling that nobody is there."""
    redelivered: bool = False


class Letter:
    """One copy of a message, for one group."""

    __slots__ = ("accepted", "group", "id", "publication", "redelivered", "sent_at", "waited_for")

    def __init__(self, number: int, group: str, publication: Publication) -> None:
        self.id = number
        self.group = group
        self.publication = publication
        self.redelivered = publication.redelivered
        self.accepted = False
        self.waited_for = True
        """Its publisher still counts on it for the receipt."""
        self.sent_at = 0.0

    @property
    def is_withdrawn(self) -> bool:
        """Whether its publisher gave up before anybody had it."""
        return self.waited_for and self.publication.receipt.is_done

    def in_good_hands(self) -> None:
        """It is with a consumer, or waits for one, or has expired: the publisher may go on."""
        if self.waited_for:
            self.waited_for = False
            self.publication.receipt.one_less()

    def is_expired(self, now: float) -> bool:
        """Whether its time is over."""
        return self.publication.expires is not None and self.publication.expires <= now
