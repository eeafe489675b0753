"""Stores whose encrypted topics are sealed: in front of all others.

What is read is opened by its looks, whatever its topic says now: a topic may be encrypted from some
day on, and a dead letter lies in another topic than it was posted to.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from msgspec import structs

from kilo_messaging.domain.claim import Claim
from kilo_messaging.domain.delivery import Attempt, Delivery, Job, Settlement
from kilo_messaging.domain.message import Message
from kilo_messaging.domain.topic import Topic, TopicKey
from kilo_messaging.storage.base import (
    WINDOW,
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
)
from kilo_messaging.storage.sealing.seal import MARK, Seal
from kilo_messaging.storage.subscription_base import DeliveryStore


def sealing_stores(stores: Stores, seal: Seal) -> Stores:
    """The same stores, with what is encrypted sealed."""
    return replace(
        stores,
        messages=SealedMessages(stores.messages, seal),
        claims=SealedClaims(stores.claims, seal),
        deliveries=SealedDeliveries(stores.deliveries, seal),
    )


class SealedMessages(MessageStore):
    """Messages, sealed where their topic says so."""

    def __init__(self, inner: MessageStore, seal: Seal) -> None:
        self._inner = inner
        self._seal = seal

    def post(
        self,
        key: TopicKey,
        prepare: Prepare,
        now: datetime,
        *,
        once: str | None = None,
        window: timedelta = WINDOW,
    ) -> Posted | None:
        return self._inner.post(key, self._sealing(prepare), now, once=once, window=window)

    def post_all(self, posts: Sequence[Post]) -> list[Outcome]:
        sealing = [structs.replace(post, prepare=self._sealing(post.prepare)) for post in posts]
        return self._inner.post_all(sealing)

    def put(
        self, key: TopicKey, messages: Sequence[Message], claims: Sequence[Claim], now: datetime
    ) -> None:
        self._inner.put(key, messages, claims, now)

    def page(self, key: TopicKey, page: Page, now: datetime) -> list[Message]:
        return _opened(self._seal, self._inner.page(key, page, now))

    def follow(self, key: TopicKey, after: int | None, limit: int, now: datetime) -> Found:
        found = self._inner.follow(key, after, limit, now)
        return replace(found, messages=_opened(self._seal, found.messages))

    def get(self, key: TopicKey, ids: Sequence[str], now: datetime) -> list[Message]:
        return _opened(self._seal, self._inner.get(key, ids, now))

    def delete(self, key: TopicKey, message_id: str, claim_id: str | None, now: datetime) -> None:
        self._inner.delete(key, message_id, claim_id, now)

    def delete_many(self, key: TopicKey, ids: Sequence[str], now: datetime) -> None:
        self._inner.delete_many(key, ids, now)

    def pop(self, key: TopicKey, limit: int, now: datetime) -> list[Message]:
        return _opened(self._seal, self._inner.pop(key, limit, now))

    def purge(self, key: TopicKey, now: datetime) -> None:
        self._inner.purge(key, now)

    def redrive(self, key: TopicKey, now: datetime) -> dict[TopicKey, int]:
        return self._inner.redrive(key, now)

    def stats(self, key: TopicKey, now: datetime) -> Stats:
        found = self._inner.stats(key, now)
        if found.oldest is None or found.newest is None:
            return found
        oldest, newest = _opened(self._seal, [found.oldest, found.newest])
        return replace(found, oldest=oldest, newest=newest)

    def sweep(self, now: datetime, limit: int, forget_keys: datetime) -> int:
        return self._inner.sweep(now, limit, forget_keys)

    def _sealing(self, prepare: Prepare) -> Prepare:
        def sealed(topic: Topic) -> Sequence[Message]:
            messages = prepare(topic)
            if not topic.is_encrypted or not self._seal.seals:
                return messages
            return [
                structs.replace(each, sealed=self._seal.seal(each.body, each.id))
                for each in messages
            ]

        return sealed


class SealedClaims(ClaimStore):
    """Claims on messages that may be sealed."""

    def __init__(self, inner: ClaimStore, seal: Seal) -> None:
        self._inner = inner
        self._seal = seal

    def create(self, key: TopicKey, claim: Claim, limit: int) -> list[Message]:
        return _opened(self._seal, self._inner.create(key, claim, limit))

    def get(
        self, key: TopicKey, claim_id: str, now: datetime
    ) -> tuple[Claim, list[Message]] | None:
        found = self._inner.get(key, claim_id, now)
        return None if found is None else (found[0], _opened(self._seal, found[1]))

    def update(self, key: TopicKey, claim_id: str, ttl: int, grace: int, now: datetime) -> bool:
        return self._inner.update(key, claim_id, ttl, grace, now)

    def release(self, key: TopicKey, claim_id: str, now: datetime) -> None:
        self._inner.release(key, claim_id, now)


class SealedDeliveries(DeliveryStore):
    """Deliveries of messages that may be sealed."""

    def __init__(self, inner: DeliveryStore, seal: Seal) -> None:
        self._inner = inner
        self._seal = seal

    def claim(
        self, now: datetime, until: datetime, *, limit: int, each: int, busy: Collection[str] = ()
    ) -> Sequence[Job]:
        jobs = self._inner.claim(now, until, limit=limit, each=each, busy=busy)
        return [structs.replace(job, deliveries=self._open(job.deliveries)) for job in jobs]

    def next_due(self, now: datetime) -> datetime | None:
        return self._inner.next_due(now)

    def settle(self, settlements: Sequence[Settlement], now: datetime) -> None:
        self._inner.settle(settlements, now)

    def attempts(
        self, key: TopicKey, subscription_id: str, *, before: int | None, limit: int
    ) -> Sequence[Attempt]:
        return self._inner.attempts(key, subscription_id, before=before, limit=limit)

    def pending(
        self,
        key: TopicKey,
        subscription_id: str,
        *,
        failed: bool,
        after: int,
        limit: int,
        now: datetime,
    ) -> Sequence[Delivery]:
        found = self._inner.pending(
            key, subscription_id, failed=failed, after=after, limit=limit, now=now
        )
        return self._open(found)

    def redeliver(
        self,
        key: TopicKey,
        subscription_id: str,
        now: datetime,
        *,
        positions: Collection[int] | None = None,
        since: datetime | None = None,
    ) -> int:
        return self._inner.redeliver(key, subscription_id, now, positions=positions, since=since)

    def put(
        self, key: TopicKey, subscription_id: str, deliveries: Sequence[Delivery], now: datetime
    ) -> None:
        self._inner.put(key, subscription_id, deliveries, now)

    def sweep(self, now: datetime, limit: int, forget_attempts: datetime) -> int:
        return self._inner.sweep(now, limit, forget_attempts)

    def _open(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        return [self._open_one(each) for each in deliveries]

    def _open_one(self, delivery: Delivery) -> Delivery:
        notice = delivery.notice
        if notice.body[:1] != MARK:
            return delivery
        body = self._seal.open(notice.body, notice.message_id)
        return structs.replace(delivery, notice=structs.replace(notice, body=body))


def _opened(seal: Seal, messages: list[Message]) -> list[Message]:
    return [
        structs.replace(each, body=seal.open(each.body, each.id)) if each.body[:1] == MARK else each
        for each in messages
    ]
