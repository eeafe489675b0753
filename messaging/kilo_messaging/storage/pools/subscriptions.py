"""Subscriptions and deliveries, wherever their topics lie."""

from collections.abc import Collection, Sequence
from datetime import datetime

from kilo_messaging.domain.delivery import Attempt, Delivery, Job, Settlement
from kilo_messaging.domain.subscription import Subscription
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.storage.pools.router import Router
from kilo_messaging.storage.subscription_base import (
    ChangeSubscription,
    DeliveryStore,
    SubscriptionStore,
)


class PlacedSubscriptions(SubscriptionStore):
    """Subscriptions, wherever their topics lie."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def create(self, subscription: Subscription, now: datetime) -> Subscription:
        return self._router.home(subscription.key).subscriptions.create(subscription, now)

    def get(self, key: TopicKey, subscription_id: str, now: datetime) -> Subscription | None:
        return self._router.at(key).subscriptions.get(key, subscription_id, now)

    def page(
        self, key: TopicKey, *, after: str, limit: int, now: datetime
    ) -> Sequence[Subscription]:
        return self._router.at(key).subscriptions.page(key, after=after, limit=limit, now=now)

    def update(
        self, key: TopicKey, subscription_id: str, change: ChangeSubscription, now: datetime
    ) -> Subscription | None:
        return self._router.at(key).subscriptions.update(key, subscription_id, change, now)

    def delete(self, key: TopicKey, subscription_id: str) -> None:
        self._router.at(key).subscriptions.delete(key, subscription_id)


class PlacedDeliveries(DeliveryStore):
    """Deliveries, wherever their topics lie. A pool that is away holds up no other."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._first = 0

    def claim(
        self, now: datetime, until: datetime, *, limit: int, each: int, busy: Collection[str] = ()
    ) -> Sequence[Job]:
        names = self._router.names()
        # Another one comes first each time, so that none gives all there is room for.
        self._first += 1
        start = self._first % len(names)
        jobs: list[Job] = []
        for name in names[start:] + names[:start]:
            room = limit - sum(len(job.deliveries) for job in jobs)
            if room <= 0:
                break
            jobs += self._claim_of(name, now, until, room, each, busy) or ()
        return jobs

    def _claim_of(
        self,
        name: str,
        now: datetime,
        until: datetime,
        limit: int,
        each: int,
        busy: Collection[str],
    ) -> Sequence[Job] | None:
        return self._router.attempt(
            name,
            lambda one: one.deliveries.claim(now, until, limit=limit, each=each, busy=busy),
        )

    def next_due(self, now: datetime) -> datetime | None:
        moments = [
            self._router.attempt(name, lambda one: one.deliveries.next_due(now))
            for name in self._router.names()
        ]
        return min((each for each in moments if each is not None), default=None)

    def settle(self, settlements: Sequence[Settlement], now: datetime) -> None:
        groups: dict[int, tuple[DeliveryStore, list[Settlement]]] = {}
        for settlement in settlements:
            deliveries = self._router.at(settlement.key).deliveries
            groups.setdefault(id(deliveries), (deliveries, []))[1].append(settlement)
        for deliveries, group in groups.values():
            deliveries.settle(group, now)

    def attempts(
        self, key: TopicKey, subscription_id: str, *, before: int | None, limit: int
    ) -> Sequence[Attempt]:
        deliveries = self._router.at(key).deliveries
        return deliveries.attempts(key, subscription_id, before=before, limit=limit)

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
        deliveries = self._router.at(key).deliveries
        return deliveries.pending(
            key, subscription_id, failed=failed, after=after, limit=limit, now=now
        )

    def redeliver(
        self,
        key: TopicKey,
        subscription_id: str,
        now: datetime,
        *,
        positions: Collection[int] | None = None,
        since: datetime | None = None,
    ) -> int:
        deliveries = self._router.at(key).deliveries
        return deliveries.redeliver(key, subscription_id, now, positions=positions, since=since)

    def put(
        self, key: TopicKey, subscription_id: str, deliveries: Sequence[Delivery], now: datetime
    ) -> None:
        self._router.at(key).deliveries.put(key, subscription_id, deliveries, now)

    def sweep(self, now: datetime, limit: int, forget_attempts: datetime) -> int:
        removed = [
            self._router.attempt(
                name, lambda one: one.deliveries.sweep(now, limit, forget_attempts)
            )
            for name in self._router.names()
        ]
        return max(each or 0 for each in removed)
