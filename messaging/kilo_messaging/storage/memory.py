"""The store in memory: for tests and for data that may be lost. It passes the same contract."""

import threading
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec

from kilo_messaging.domain.claim import Claim
from kilo_messaging.domain.message import Message, State, check_deletable
from kilo_messaging.domain.topic import Metadata, Topic, TopicKey
from kilo_messaging.storage.base import (
    WINDOW,
    Change,
    ClaimStore,
    MessageStore,
    Page,
    Posted,
    Prepare,
    Stats,
    Stores,
    TopicStore,
)

T = TypeVar("T")


@dataclass
class _Shelf:
    """One topic with what belongs to it. Messages are kept in the order of posting."""

    topic: Topic
    messages: dict[str, Message] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)
    dedup: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    """By deduplication id: the message's id, and until when it counts."""

    def alive(self, now: datetime) -> Iterator[Message]:
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

    def live_claim(self, claim_id: str | None, now: datetime) -> Claim | None:
        claim = self.claims.get(claim_id or "")
        return claim if claim is not None and claim.is_live(now) else None

    def held_by(self, claim_id: str, now: datetime) -> list[Message]:
        return [each for each in self.alive(now) if each.holder_at(now) == claim_id]


class _Memory:
    """What the three sides share: shelves, the next position, and one lock, never held long."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.shelves: dict[TopicKey, _Shelf] = {}
        self.keys: dict[str, datetime] = {}
        self._position = 0

    def shelf(self, key: TopicKey, now: datetime) -> _Shelf:
        """The topic's shelf; a missing one is put up."""
        if key not in self.shelves:
            self.shelves[key] = _Shelf(Topic(key=key, metadata={}, created_at=now))
        return self.shelves[key]

    def add(self, shelf: _Shelf, message: Message) -> Message:
        self._position += 1
        placed = msgspec.structs.replace(message, position=self._position, dedup_id=None)
        shelf.messages[placed.id] = placed
        return placed

    def on_shelf(self, key: TopicKey, work: Callable[[_Shelf], T], otherwise: T) -> T:
        """What `work` makes of the topic's shelf; `otherwise` where there is no such topic."""
        with self.lock:
            shelf = self.shelves.get(key)
            return otherwise if shelf is None else work(shelf)


class _Topics(TopicStore):
    def __init__(self, memory: _Memory) -> None:
        self._memory = memory

    def create(self, key: TopicKey, metadata: Metadata, now: datetime) -> bool:
        with self._memory.lock:
            if key in self._memory.shelves:
                return False
            topic = Topic(key=key, metadata=dict(metadata), created_at=now)
            self._memory.shelves[key] = _Shelf(topic)
            return True

    def get(self, key: TopicKey) -> Topic | None:
        return self._memory.on_shelf(key, lambda shelf: shelf.topic, None)

    def page(self, project_id: str, *, after: str, limit: int) -> list[Topic]:
        with self._memory.lock:
            names = sorted(
                each.name for each in self._memory.shelves if each.project_id == project_id
            )
            chosen = names[bisect_right(names, after) :][:limit]
            return [self._memory.shelves[TopicKey(project_id, name)].topic for name in chosen]

    def count(self, project_id: str) -> int:
        with self._memory.lock:
            return sum(key.project_id == project_id for key in self._memory.shelves)

    def update(self, key: TopicKey, change: Change, now: datetime) -> Topic:
        with self._memory.lock:
            present = self._memory.shelves.get(key)
            metadata = change(present.topic.metadata if present else {})
            shelf = self._memory.shelf(key, now)
            shelf.topic = msgspec.structs.replace(shelf.topic, metadata=metadata)
            return shelf.topic

    def delete(self, key: TopicKey) -> None:
        with self._memory.lock:
            self._memory.shelves.pop(key, None)


class _Messages(MessageStore):
    def __init__(self, memory: _Memory) -> None:
        self._memory = memory

    def post(
        self,
        key: TopicKey,
        prepare: Prepare,
        now: datetime,
        *,
        once: str | None = None,
        window: timedelta = WINDOW,
    ) -> Posted | None:
        with self._memory.lock:
            if once is not None and once in self._memory.keys:
                return None
            present = self._memory.shelves.get(key)
            topic = present.topic if present else Topic(key=key, metadata={}, created_at=now)
            messages = prepare(topic)
            shelf = self._memory.shelf(key, now)
            if once is not None:
                self._memory.keys[once] = now
            posted = Posted([], [])
            for message in messages:
                kept = self._id_kept(shelf, message, now, window)
                posted.ids.append(kept)
                if kept == message.id:
                    posted.added.append(self._memory.add(shelf, message))
            return posted

    def _id_kept(self, shelf: _Shelf, message: Message, now: datetime, window: timedelta) -> str:
        if message.dedup_id is None:
            return message.id
        noted, until = shelf.dedup.get(message.dedup_id, ("", now))
        if until > now:
            return noted
        shelf.dedup[message.dedup_id] = message.id, now + window
        return message.id

    def page(self, key: TopicKey, page: Page, now: datetime) -> list[Message]:
        states = {State.READY}
        if page.claimed:
            states.add(State.CLAIMED)
        if page.delayed:
            states.add(State.DELAYED)

        def work(shelf: _Shelf) -> list[Message]:
            found = (
                each
                for each in shelf.alive(now)
                if each.position > page.after
                and each.state_at(now) in states
                and each.client_id != page.not_from
            )
            return [each for each, _number in zip(found, range(page.limit), strict=False)]

        return self._memory.on_shelf(key, work, [])

    def get(self, key: TopicKey, ids: Sequence[str], now: datetime) -> list[Message]:
        wanted = set(ids)
        return self._memory.on_shelf(
            key, lambda shelf: [each for each in shelf.alive(now) if each.id in wanted], []
        )

    def delete(self, key: TopicKey, message_id: str, claim_id: str | None, now: datetime) -> None:
        def work(shelf: _Shelf) -> None:
            message = shelf.messages.get(message_id)
            if message is None or message.is_expired(now):
                return
            live = shelf.live_claim(claim_id, now) is not None
            check_deletable(message, claim_id, claim_is_live=live, now=now)
            del shelf.messages[message_id]

        self._memory.on_shelf(key, work, None)

    def delete_many(self, key: TopicKey, ids: Sequence[str], now: datetime) -> None:
        def work(shelf: _Shelf) -> None:
            for message_id in ids:
                message = shelf.messages.get(message_id)
                if message is not None and not message.is_expired(now):
                    del shelf.messages[message_id]

        self._memory.on_shelf(key, work, None)

    def pop(self, key: TopicKey, limit: int, now: datetime) -> list[Message]:
        def work(shelf: _Shelf) -> list[Message]:
            found = list(shelf.ready(now))[:limit]
            for message in found:
                del shelf.messages[message.id]
            return found

        return self._memory.on_shelf(key, work, [])

    def purge(self, key: TopicKey, now: datetime) -> None:
        def work(shelf: _Shelf) -> None:
            kept = {
                each.id: each
                for each in shelf.messages.values()
                if each.state_at(now) is State.CLAIMED
            }
            shelf.messages = kept

        self._memory.on_shelf(key, work, None)

    def redrive(self, key: TopicKey, now: datetime) -> dict[TopicKey, int]:
        def work(shelf: _Shelf) -> dict[TopicKey, int]:
            moved: Counter[TopicKey] = Counter()
            for letter in list(shelf.alive(now)):
                if letter.source is not None and letter.state_at(now) is State.READY:
                    del shelf.messages[letter.id]
                    source = TopicKey(key.project_id, letter.source)
                    self._memory.add(self._memory.shelf(source, now), letter.redriven(now))
                    moved[source] += 1
            return dict(moved)

        return self._memory.on_shelf(key, work, {})

    def stats(self, key: TopicKey, now: datetime) -> Stats:
        def work(shelf: _Shelf) -> Stats:
            alive = list(shelf.alive(now))
            if not alive:
                return Stats()
            claimed = sum(each.state_at(now) is State.CLAIMED for each in alive)
            return Stats(
                free=len(alive) - claimed, claimed=claimed, oldest=alive[0], newest=alive[-1]
            )

        return self._memory.on_shelf(key, work, Stats())

    def sweep(self, now: datetime, limit: int, forget_keys: datetime) -> int:
        with self._memory.lock:
            doomed: list[Callable[[], object]] = []
            for shelf in self._memory.shelves.values():
                for message in shelf.messages.values():
                    if message.is_expired(now):
                        doomed.append(_drop(shelf.messages, message.id))
                for claim in shelf.claims.values():
                    if not claim.is_live(now):
                        doomed.append(_drop(shelf.claims, claim.id))
                for dedup_id, (_message_id, until) in shelf.dedup.items():
                    if until <= now:
                        doomed.append(_drop(shelf.dedup, dedup_id))
            for once, used_at in self._memory.keys.items():
                if used_at < forget_keys:
                    doomed.append(_drop(self._memory.keys, once))
            for drop in doomed[:limit]:
                drop()
            return len(doomed[:limit])


class _Claims(ClaimStore):
    def __init__(self, memory: _Memory) -> None:
        self._memory = memory

    def create(self, key: TopicKey, claim: Claim, limit: int) -> list[Message]:
        now = claim.created_at

        def work(shelf: _Shelf) -> list[Message]:
            held: list[Message] = []
            for message in list(shelf.ready(now)):
                if len(held) == limit:
                    break
                if shelf.topic.is_dead(message.claim_count):
                    self._bury(shelf, message, now)
                    continue
                taken = message.claimed(claim.id, claim.expires_at, claim.messages_live_until)
                shelf.messages[taken.id] = taken
                held.append(taken)
            if held:
                shelf.claims[claim.id] = claim
            return held

        return self._memory.on_shelf(key, work, [])

    def get(
        self, key: TopicKey, claim_id: str, now: datetime
    ) -> tuple[Claim, list[Message]] | None:
        def work(shelf: _Shelf) -> tuple[Claim, list[Message]] | None:
            claim = shelf.live_claim(claim_id, now)
            return None if claim is None else (claim, shelf.held_by(claim_id, now))

        return self._memory.on_shelf(key, work, None)

    def update(self, key: TopicKey, claim_id: str, ttl: int, grace: int, now: datetime) -> bool:
        def work(shelf: _Shelf) -> bool:
            claim = shelf.live_claim(claim_id, now)
            if claim is None:
                return False
            held = shelf.held_by(claim_id, now)
            renewed = shelf.claims[claim_id] = claim.renewed(ttl, grace, now)
            for message in held:
                shelf.messages[message.id] = msgspec.structs.replace(
                    message.living_until(renewed.messages_live_until),
                    visible_at=renewed.expires_at,
                )
            return True

        return self._memory.on_shelf(key, work, False)

    def release(self, key: TopicKey, claim_id: str, now: datetime) -> None:
        def work(shelf: _Shelf) -> None:
            for message in shelf.held_by(claim_id, now):
                shelf.messages[message.id] = message.released(now)
            shelf.claims.pop(claim_id, None)

        self._memory.on_shelf(key, work, None)

    def _bury(self, shelf: _Shelf, message: Message, now: datetime) -> None:
        place = shelf.topic.dead_letters
        if place is not None:
            del shelf.messages[message.id]
            letter = message.dead(now, shelf.topic.dead_letter_ttl, shelf.topic.key.name)
            self._memory.add(self._memory.shelf(place, now), letter)


def open_memory_store() -> Stores:
    """A new, empty store. What it is given is gone with the process."""
    memory = _Memory()
    return Stores(_Topics(memory), _Messages(memory), _Claims(memory), check=lambda: None)


def _drop(mapping: dict[str, T], key: str) -> Callable[[], object]:
    return lambda: mapping.pop(key, None)
