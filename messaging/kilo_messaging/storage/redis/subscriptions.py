"""Subscriptions in Redis."""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import uuid4

from kilo_messaging.domain.subscription import Subscription
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.errors import SubscriptionExists
from kilo_messaging.storage.redis.delivery_plans import DeliveryPlans
from kilo_messaging.storage.redis.delivery_records import (
    health_field,
    subscription_fields,
    subscription_from,
)
from kilo_messaging.storage.redis.keys import DELIVERY_PARTS, PARTS, Keys
from kilo_messaging.storage.redis.link import RedisLink
from kilo_messaging.storage.redis.records import micros
from kilo_messaging.storage.redis.topics import RedisTopics
from kilo_messaging.storage.subscription_base import ChangeSubscription, SubscriptionStore

SUBSCRIPTIONS = len(PARTS) + DELIVERY_PARTS.index("subscriptions")
HEALTH = len(PARTS) + DELIVERY_PARTS.index("health")
_REMEMBERED = 10_000


class Subscribed:
    """The subscriptions of topics as a post needs them, by the version of the topic.

    Each change of a subscription gives its topic a new version, and a post names the version that
    it was prepared for: what is remembered is never acted on when it is old.
    """

    def __init__(self, link: RedisLink, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        self._known: dict[TopicKey, tuple[bytes, Sequence[Subscription]]] = {}

    def to(self, key: TopicKey, version: bytes) -> Sequence[Subscription]:
        """The subscriptions of the topic at that version."""
        known = self._known.get(key)
        if known is None or known[0] != version:
            if len(self._known) >= _REMEMBERED:
                for old in list(islice(self._known, _REMEMBERED // 10)):
                    self._known.pop(old, None)
            known = version, read_all(self._link, self._keys, key)
            self._known[key] = known
        return known[1]


def read_all(link: RedisLink, keys: Keys, key: TopicKey) -> list[Subscription]:
    """All subscriptions of a topic by id, those whose life has ended as well."""
    found = link.command("HGETALL", keys.with_deliveries(key)[SUBSCRIPTIONS])
    pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
    return [
        subscription_from(each.decode(), record, None)
        for each, record in sorted(pairs, key=lambda pair: pair[0])
    ]


class RedisSubscriptions(SubscriptionStore):
    """Subscriptions in Redis."""

    def __init__(
        self, link: RedisLink, keys: Keys, topics: RedisTopics, plans: DeliveryPlans
    ) -> None:
        self._link = link
        self._keys = keys
        self._topics = topics
        self._plans = plans

    def create(self, subscription: Subscription, now: datetime) -> Subscription:
        key = subscription.key
        while True:
            self._topics.ensure(key, now)
            answer = self._run(
                "subscription_create",
                key,
                now,
                uuid4().hex,
                subscription.id,
                *subscription_fields(subscription),
            )
            if answer[0] == b"exists":
                raise _exists(answer[1])
            if answer[0] == b"kept":
                break
        self._plans.watch(key, now)
        kept = self.get(key, answer[1].decode(), now)
        return kept or subscription

    def get(self, key: TopicKey, subscription_id: str, now: datetime) -> Subscription | None:
        found = self._find(key, subscription_id)
        return found[1] if found and found[1].is_live(now) else None

    def page(
        self, key: TopicKey, *, after: str, limit: int, now: datetime
    ) -> Sequence[Subscription]:
        live = [each for each in read_all(self._link, self._keys, key) if each.is_live(now)]
        wanted = [each.id for each in live if each.id > after][:limit]
        found = [self.get(key, each, now) for each in wanted]
        return [each for each in found if each is not None]

    def update(
        self, key: TopicKey, subscription_id: str, change: ChangeSubscription, now: datetime
    ) -> Subscription | None:
        while True:
            found = self._find(key, subscription_id)
            if found is None or not found[1].is_live(now):
                return None
            record, present = found
            changed = change(present)
            answer = self._run(
                "subscription_update",
                key,
                now,
                uuid4().hex,
                subscription_id,
                record,
                *subscription_fields(changed),
                health_field(present.health, changed.health),
            )
            if answer[0] == b"exists":
                raise _exists(answer[1])
            if answer[0] == b"kept":
                self._plans.plan(key, answer[1])
                return changed

    def delete(self, key: TopicKey, subscription_id: str) -> None:
        names = self._keys.with_deliveries(key)
        while self._link.run("deliveries_forget", names, 0, subscription_id, uuid4().hex):
            pass

    def _find(self, key: TopicKey, subscription_id: str) -> tuple[bytes, Subscription] | None:
        names = self._keys.with_deliveries(key)
        record, health = self._link.commands(
            [
                ("HGET", names[SUBSCRIPTIONS], subscription_id),
                ("HGET", names[HEALTH], subscription_id),
            ]
        )
        if record is None:
            return None
        return record, subscription_from(subscription_id, record, health)

    def _run(self, script: str, key: TopicKey, now: datetime, *arguments: Any) -> Any:
        return self._link.run(script, self._keys.with_deliveries(key), micros(now), *arguments)


def _exists(subscription_id: bytes) -> SubscriptionExists:
    return SubscriptionExists(
        "The topic has a subscription of this subscriber already",
        subscription_id=subscription_id.decode(),
    )
