"""Subscriptions and deliveries, wherever their topics lie."""

import logging
from collections.abc import Collection, Sequence
from datetime import datetime

from kilo_common.errors import Unavailable
from kilo_messaging.domain.delivery import Attempt, Delivery, Job, Settlement
from kilo_messaging.domain.subscription import Subscription
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.storage.pools.router import Router
from kilo_messaging.storage.subscription_base import (
    ChangeSubscription,
    DeliveryStore,
    SubscriptionStore,
)

log = logging.getLogger(__name__)


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
        stores = self._router.reachable()
        # Another one comes first each time, so that none gives all there is room for.
        self._first += 1
        start = self._first % len(stores)
        jobs: list[Job] = []
        for one in stores[start:] + stores[:start]:
            room = limit - sum(len(job.deliveries) for job in jobs)
            if room <= 0:
                break
            try:
                jobs += one.deliveries.claim(now, until, limit=room, each=each, busy=busy)
            except Unavailable as fault:
                log.warning("deliveries of a pool are put off: %s", fault)
        return jobs

    def next_due(self, now: datetime) -> datetime | None:
        moments: list[datetime] = []
        for one in self._router.reachable():
            try:
                moment = one.deliveries.next_due(now)
            except Unavailable as fault:
                log.warning("deliveries of a pool are put off: %s", fault)
            else:
                moments += [] if moment is None else [moment]
        return min(moments, default=None)

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
        removed = 0
        for one in self._router.reachable():
            try:
                removed = max(removed, one.deliveries.sweep(now, limit, forget_attempts))
            except Unavailable as fault:
                log.warning("deliveries of a pool are not swept: %s", fault)
        return removed
