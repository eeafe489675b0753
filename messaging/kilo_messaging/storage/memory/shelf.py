"""Shelves: one for each topic, with its messages and claims, and what all of them share."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import msgspec

from kilo_messaging.domain.claim import Claim
from kilo_messaging.domain.delivery import Attempt, Delivery
from kilo_messaging.domain.message import Message, State
from kilo_messaging.domain.subscription import Subscription
from kilo_messaging.domain.topic import Topic, TopicKey

T = TypeVar("T")


@dataclass(frozen=True)
class Parcel:
    """A delivery, and the lane it stands in."""

    delivery: Delivery
    lane: str | None


@dataclass
class Shelf:
    """One topic with what belongs to it. Messages are kept in the order of posting."""

    topic: Topic
    messages: dict[str, Message] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)
    dedup: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    """By deduplication id: the message's id, and until when it counts."""
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    parcels: dict[int, Parcel] = field(default_factory=dict)
    """Deliveries by position, in its order."""
    attempts: dict[str, list[Attempt]] = field(default_factory=dict)
    """By subscription, oldest first."""

    def forget(self, subscription_id: str) -> None:
        """Remove a subscription with all that is its own."""
        self.subscriptions.pop(subscription_id, None)
        self.attempts.pop(subscription_id, None)
        for position, parcel in list(self.parcels.items()):
            if parcel.delivery.subscription_id == subscription_id:
                del self.parcels[position]

    def alive(self, now: datetime) -> Iterator[Message]:
        """The messages whose life is not over."""
        return (message for message in self.messages.values() if not message.is_expired(now))

    def ready(self, now: datetime) -> Iterator[Message]:
        """What may be handed out: nothing behind a claimed or delayed message of its lane."""
        waiting: set[str] = set()
        for message in self.alive(now):
            lane = self.topic.lane(message.group)
            if message.state_at(now) is not State.READY:
                waiting |= {lane} if lane is not None else set()
            elif lane not in waiting:
                yield message

    def in_turn(self, now: datetime) -> list[Message]:
        """What may be handed out, the first of it first."""
        found = list(self.ready(now))
        if self.topic.has_priorities:
            found.sort(key=lambda message: (-message.priority, message.position))
        return found

    def live_claim(self, claim_id: str | None, now: datetime) -> Claim | None:
        """The claim of that id, if it has not ended."""
        claim = self.claims.get(claim_id or "")
        return claim if claim is not None and claim.is_live(now) else None

    def held_by(self, claim_id: str, now: datetime) -> list[Message]:
        """What a claim still holds."""
        return [each for each in self.alive(now) if each.holder_at(now) == claim_id]


class Memory:
    """What the three sides share: shelves, the next position, and one lock, never held long."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.shelves: dict[TopicKey, Shelf] = {}
        self.keys: dict[str, datetime] = {}
        self._position = 0

    def shelf(self, key: TopicKey, now: datetime) -> Shelf:
        """The topic's shelf; a missing one is put up."""
        if key not in self.shelves:
            self.shelves[key] = Shelf(Topic(key=key, metadata={}, created_at=now))
        return self.shelves[key]

    def next_position(self) -> int:
        """A number greater than all before. Under the lock."""
        self._position += 1
        return self._position

    def add(self, shelf: Shelf, message: Message) -> Message:
        """Put the message on the shelf, behind all others; as it is kept."""
        placed = msgspec.structs.replace(message, position=self.next_position(), dedup_id=None)
        shelf.messages[placed.id] = msgspec.structs.replace(
            placed, body=placed.kept_body, sealed=None
        )
        return placed

    def on_shelf(self, key: TopicKey, work: Callable[[Shelf], T], otherwise: T) -> T:
        """What `work` makes of the topic's shelf; `otherwise` where there is no such topic."""
        with self.lock:
            shelf = self.shelves.get(key)
            return otherwise if shelf is None else work(shelf)
