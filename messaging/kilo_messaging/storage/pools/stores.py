"""Topics, messages and claims, wherever they lie."""

import heapq
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from kilo_messaging.domain.claim import Claim
from kilo_messaging.domain.message import Message
from kilo_messaging.domain.topic import DEAD_LETTERS, Metadata, Topic, TopicKey
from kilo_messaging.storage.base import (
    WINDOW,
    Change,
    ClaimStore,
    Found,
    MessageStore,
    Outcome,
    Page,
    Post,
    Posted,
    Prepare,
    Stats,
    Stores,
    TopicStore,
)
from kilo_messaging.storage.pools.router import Router
from kilo_messaging.storage.pools.subscriptions import PlacedDeliveries, PlacedSubscriptions


def placing_stores(router: Router) -> Stores:
    """All stores of a router as one."""
    return Stores(
        topics=PlacedTopics(router),
        messages=PlacedMessages(router),
        claims=PlacedClaims(router),
        subscriptions=PlacedSubscriptions(router),
        deliveries=PlacedDeliveries(router),
        placements=router.main.placements,
        check=router.main.check,
        close=router.close,
    )


class PlacedTopics(TopicStore):
    """Topics, wherever they lie."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def create(self, key: TopicKey, metadata: Metadata, now: datetime) -> bool:
        if DEAD_LETTERS in metadata and self.get(key) is not None:
            return False  # where its dead letters would lie is of no interest
        return self._router.home(key, metadata).topics.create(key, metadata, now)

    def get(self, key: TopicKey) -> Topic | None:
        return self._router.at(key).topics.get(key)

    def page(self, project_id: str, *, after: str, limit: int) -> list[Topic]:
        everywhere = self._router.everywhere()
        if len(everywhere) == 1:
            return self._router.main.topics.page(project_id, after=after, limit=limit)
        pages = [_named(name, stores, project_id, after, limit) for name, stores in everywhere]
        found: dict[str, Topic] = {}
        for _name, pool, topic in heapq.merge(*pages, key=lambda each: each[:2]):
            if self._router.pool_of(topic.key) == pool:
                found[topic.key.name] = topic
            if len(found) == limit:
                break
        return [*found.values()]

    def count(self, project_id: str) -> int:
        return sum(stores.topics.count(project_id) for _name, stores in self._router.everywhere())

    def update(self, key: TopicKey, change: Change, now: datetime) -> Topic:
        present = self._router.at(key).topics.get(key)
        wanted = change(present.metadata if present else {})
        return self._router.home(key, wanted).topics.update(key, change, now)

    def delete(self, key: TopicKey) -> None:
        self._router.at(key).topics.delete(key)
        self._router.release(key)


class PlacedMessages(MessageStore):
    """Messages, wherever their topics lie."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def post(
        self,
        key: TopicKey,
        prepare: Prepare,
        now: datetime,
        *,
        once: str | None = None,
        window: timedelta = WINDOW,
    ) -> Posted | None:
        messages = self._router.home(key).messages
        return messages.post(key, prepare, now, once=once, window=window)

    def post_all(self, posts: Sequence[Post]) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        groups: dict[int, tuple[MessageStore, list[int]]] = {}
        for number, post in enumerate(posts):
            try:
                messages = self._router.home(post.key).messages
            except Exception as fault:  # noqa: BLE001 - it is this post's alone
                outcomes[number] = fault
            else:
                groups.setdefault(id(messages), (messages, []))[1].append(number)
        for messages, numbers in groups.values():
            found = messages.post_all([posts[number] for number in numbers])
            outcomes |= dict(zip(numbers, found, strict=True))
        return [outcomes[number] for number in range(len(posts))]

    def put(
        self, key: TopicKey, messages: Sequence[Message], claims: Sequence[Claim], now: datetime
    ) -> None:
        self._router.home(key).messages.put(key, messages, claims, now)

    def page(self, key: TopicKey, page: Page, now: datetime) -> list[Message]:
        return self._router.at(key).messages.page(key, page, now)

    def follow(self, key: TopicKey, after: int | None, limit: int, now: datetime) -> Found:
        return self._router.at(key).messages.follow(key, after, limit, now)

    def get(self, key: TopicKey, ids: Sequence[str], now: datetime) -> list[Message]:
        return self._router.at(key).messages.get(key, ids, now)

    def delete(self, key: TopicKey, message_id: str, claim_id: str | None, now: datetime) -> None:
        self._router.at(key).messages.delete(key, message_id, claim_id, now)

    def delete_many(self, key: TopicKey, ids: Sequence[str], now: datetime) -> None:
        self._router.at(key).messages.delete_many(key, ids, now)

    def pop(self, key: TopicKey, limit: int, now: datetime) -> list[Message]:
        return self._router.at(key).messages.pop(key, limit, now)

    def purge(self, key: TopicKey, now: datetime) -> None:
        self._router.at(key).messages.purge(key, now)

    def redrive(self, key: TopicKey, now: datetime) -> dict[TopicKey, int]:
        moved = self._router.at(key).messages.redrive(key, now)
        self._router.keep_together(key, [*moved])
        return moved

    def stats(self, key: TopicKey, now: datetime) -> Stats:
        return self._router.at(key).messages.stats(key, now)

    def sweep(self, now: datetime, limit: int, forget_keys: datetime) -> int:
        def work(stores: Stores) -> int:
            return stores.messages.sweep(now, limit, forget_keys)

        return max(self._router.attempt(name, work) or 0 for name in self._router.names())


class PlacedClaims(ClaimStore):
    """Claims, wherever their topics lie."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def create(self, key: TopicKey, claim: Claim, limit: int) -> list[Message]:
        return self._router.at(key).claims.create(key, claim, limit)

    def get(
        self, key: TopicKey, claim_id: str, now: datetime
    ) -> tuple[Claim, list[Message]] | None:
        return self._router.at(key).claims.get(key, claim_id, now)

    def update(self, key: TopicKey, claim_id: str, ttl: int, grace: int, now: datetime) -> bool:
        return self._router.at(key).claims.update(key, claim_id, ttl, grace, now)

    def release(self, key: TopicKey, claim_id: str, now: datetime) -> None:
        self._router.at(key).claims.release(key, claim_id, now)


def _named(
    pool: str, stores: Stores, project_id: str, after: str, limit: int
) -> Iterator[tuple[str, str, Topic]]:
    """A pool's topics after one name, page by page as they are asked for: name, pool, topic."""
    while True:
        page = stores.topics.page(project_id, after=after, limit=limit)
        for topic in page:
            yield topic.key.name, pool, topic
        if len(page) < limit:
            return
        after = page[-1].key.name
