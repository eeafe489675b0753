"""Messages in memory."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from msgspec import structs

from kilo_messaging.domain.claim import Claim
from kilo_messaging.domain.message import Message, State, check_deletable
from kilo_messaging.domain.topic import Topic, TopicKey
from kilo_messaging.storage.base import WINDOW, Found, MessageStore, Page, Posted, Prepare, Stats
from kilo_messaging.storage.memory.shelf import Memory, Shelf
from kilo_messaging.storage.memory.subscriptions import record_deliveries

T = TypeVar("T")


class MemoryMessages(MessageStore):
    """Messages in memory."""

    def __init__(self, memory: Memory) -> None:
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
            recorded = record_deliveries(self._memory, shelf, posted.added, now)
            return structs.replace(posted, recorded=recorded)

    def _id_kept(self, shelf: Shelf, message: Message, now: datetime, window: timedelta) -> str:
        if message.dedup_id is None:
            return message.id
        noted, until = shelf.dedup.get(message.dedup_id, ("", now))
        if until > now:
            return noted
        shelf.dedup[message.dedup_id] = message.id, now + window
        return message.id

    def put(
        self, key: TopicKey, messages: Sequence[Message], claims: Sequence[Claim], now: datetime
    ) -> None:
        with self._memory.lock:
            shelf = self._memory.shelf(key, now)
            shelf.claims |= {claim.id: claim for claim in claims}
            for message in messages:
                if message.id not in shelf.messages:
                    self._memory.add(shelf, message)

    def page(self, key: TopicKey, page: Page, now: datetime) -> list[Message]:
        states = {State.READY}
        if page.claimed:
            states.add(State.CLAIMED)
        if page.delayed:
            states.add(State.DELAYED)

        def work(shelf: Shelf) -> list[Message]:
            found = (
                each
                for each in shelf.alive(now)
                if each.position > page.after
                and each.state_at(now) in states
                and each.client_id != page.not_from
            )
            return [each for each, _number in zip(found, range(page.limit), strict=False)]

        return self._memory.on_shelf(key, work, [])

    def follow(self, key: TopicKey, after: int | None, limit: int, now: datetime) -> Found:
        def work(shelf: Shelf) -> Found:
            began = shelf.topic.created_at
            alive = sorted(each.position for each in shelf.alive(now))
            if after is None:
                return Found(began, alive[-1] if alive else 0, [])
            behind = (each for each in shelf.alive(now) if each.position > after)
            found = sorted(behind, key=lambda message: message.position)[:limit]
            return Found(began, found[-1].position if found else after, found)

        return self._memory.on_shelf(key, work, Found(None, after or 0, []))

    def get(self, key: TopicKey, ids: Sequence[str], now: datetime) -> list[Message]:
        wanted = set(ids)
        return self._memory.on_shelf(
            key, lambda shelf: [each for each in shelf.alive(now) if each.id in wanted], []
        )

    def delete(self, key: TopicKey, message_id: str, claim_id: str | None, now: datetime) -> None:
        def work(shelf: Shelf) -> None:
            message = shelf.messages.get(message_id)
            if message is None or message.is_expired(now):
                return
            live = shelf.live_claim(claim_id, now) is not None
            check_deletable(message, claim_id, claim_is_live=live, now=now)
            del shelf.messages[message_id]

        self._memory.on_shelf(key, work, None)

    def delete_many(self, key: TopicKey, ids: Sequence[str], now: datetime) -> None:
        def work(shelf: Shelf) -> None:
            for message_id in ids:
                message = shelf.messages.get(message_id)
                if message is not None and not message.is_expired(now):
                    del shelf.messages[message_id]

        self._memory.on_shelf(key, work, None)

    def pop(self, key: TopicKey, limit: int, now: datetime) -> list[Message]:
        def work(shelf: Shelf) -> list[Message]:
            found = shelf.in_turn(now)[:limit]
            for message in found:
                del shelf.messages[message.id]
            return found

        return self._memory.on_shelf(key, work, [])

    def purge(self, key: TopicKey, now: datetime) -> None:
        def work(shelf: Shelf) -> None:
            kept = {
                each.id: each
                for each in shelf.messages.values()
                if each.state_at(now) is State.CLAIMED
            }
            shelf.messages = kept

        self._memory.on_shelf(key, work, None)

    def redrive(self, key: TopicKey, now: datetime) -> dict[TopicKey, int]:
        def work(shelf: Shelf) -> dict[TopicKey, int]:
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
        def work(shelf: Shelf) -> Stats:
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


def _drop(mapping: dict[str, T], key: str) -> Callable[[], object]:
    return lambda: mapping.pop(key, None)
