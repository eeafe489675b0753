"""Deliveries in memory."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

import msgspec

from kilo_messaging.domain.delivery import (
    Attempt,
    Delivery,
    Job,
    Result,
    Settlement,
    health_after,
)
from kilo_messaging.domain.subscription import Subscription, SubscriptionState
from kilo_messaging.domain.topic import Ordering, TopicKey
from kilo_messaging.storage.memory.shelf import Memory, Parcel, Shelf
from kilo_messaging.storage.subscription_base import DeliveryStore


class MemoryDeliveries(DeliveryStore):
    """Deliveries in memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def claim(
        self, now: datetime, until: datetime, *, limit: int, each: int, busy: Collection[str] = ()
    ) -> Sequence[Job]:
        with self._memory.lock:
            waiting = [
                (due[0].due_at, shelf, subscription)
                for shelf, subscription in self._active(now)
                if subscription.id not in busy and (due := _due(shelf, subscription, now))
            ]
            jobs: list[Job] = []
            left = limit
            for _since, shelf, subscription in sorted(waiting, key=lambda one: one[0]):
                taken = _due(shelf, subscription, now)[: min(each, left)]
                left -= len(taken)
                for delivery in taken:
                    held = msgspec.structs.replace(delivery, due_at=until)
                    parcel = shelf.parcels[delivery.position]
                    shelf.parcels[delivery.position] = replace(parcel, delivery=held)
                size = subscription.options.batch
                jobs += [
                    Job(subscription, taken[start : start + size])
                    for start in range(0, len(taken), size)
                ]
            return jobs

    def next_due(self, now: datetime) -> datetime | None:
        with self._memory.lock:
            return min(
                (
                    delivery.due_at
                    for shelf, subscription in self._active(now)
                    for delivery in _fronts(shelf, subscription, now)
                    if delivery.due_at > now
                ),
                default=None,
            )

    def settle(self, settlements: Sequence[Settlement], now: datetime) -> None:
        with self._memory.lock:
            for settlement in settlements:
                for shelf in self._memory.shelves.values():
                    subscription = shelf.subscriptions.get(settlement.subscription_id)
                    if subscription is not None:
                        self._settle(shelf, subscription, settlement, now)

    def attempts(
        self, key: TopicKey, subscription_id: str, *, before: int | None, limit: int
    ) -> Sequence[Attempt]:
        def work(shelf: Shelf) -> list[Attempt]:
            log = shelf.attempts.get(subscription_id, [])
            return [each for each in reversed(log) if before is None or each.position < before][
                :limit
            ]

        return self._memory.on_shelf(key, work, [])

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
        def work(shelf: Shelf) -> list[Delivery]:
            return [
                each.delivery
                for each in _alive(shelf, subscription_id, now)
                if each.delivery.failed is failed and each.delivery.position > after
            ][:limit]

        return self._memory.on_shelf(key, work, [])

    def redeliver(
        self,
        key: TopicKey,
        subscription_id: str,
        now: datetime,
        *,
        positions: Collection[int] | None = None,
        since: datetime | None = None,
    ) -> int:
        def work(shelf: Shelf) -> int:
            again = [
                each
                for each in _alive(shelf, subscription_id, now)
                if each.delivery.failed
                and (positions is None or each.delivery.position in positions)
                and (since is None or each.delivery.notice.posted_at >= since)
            ]
            for parcel in again:
                fresh = msgspec.structs.replace(
                    parcel.delivery, failed=False, attempts=0, reason=None, due_at=now
                )
                shelf.parcels[fresh.position] = replace(parcel, delivery=fresh)
            return len(again)

        return self._memory.on_shelf(key, work, 0)

    def put(
        self, key: TopicKey, subscription_id: str, deliveries: Sequence[Delivery], now: datetime
    ) -> None:
        def work(shelf: Shelf) -> None:
            if subscription_id not in _ids(shelf, now):
                return
            for each in deliveries:
                placed = msgspec.structs.replace(
                    each,
                    position=self._memory.next_position(),
                    subscription_id=subscription_id,
                )
                lane = shelf.topic.lane(each.notice.group)
                shelf.parcels[placed.position] = Parcel(placed, lane)

        self._memory.on_shelf(key, work, None)

    def sweep(self, now: datetime, limit: int, forget_attempts: datetime) -> int:
        with self._memory.lock:
            doomed: list[Callable[[], object]] = []
            for shelf in self._memory.shelves.values():
                doomed += _over(shelf, now, forget_attempts)
            for drop in doomed[:limit]:
                drop()
            return len(doomed[:limit])

    def _active(self, now: datetime) -> Iterator[tuple[Shelf, Subscription]]:
        for shelf in self._memory.shelves.values():
            for subscription in shelf.subscriptions.values():
                if subscription.state is SubscriptionState.ACTIVE and subscription.is_live(now):
                    yield shelf, subscription

    def _settle(
        self, shelf: Shelf, subscription: Subscription, settlement: Settlement, now: datetime
    ) -> None:
        attempt = msgspec.structs.replace(settlement.attempt, position=self._memory.next_position())
        shelf.attempts.setdefault(subscription.id, []).append(attempt)
        shelf.subscriptions[subscription.id] = health_after(subscription, [attempt], now)
        parcel = shelf.parcels.get(attempt.delivery)
        if parcel is None:
            return
        if attempt.result is Result.DELIVERED:
            del shelf.parcels[attempt.delivery]
            return
        changed = msgspec.structs.replace(
            parcel.delivery,
            failed=attempt.result is not Result.RETRY,
            attempts=attempt.number,
            reason=attempt.detail,
            due_at=settlement.due_at or attempt.at,
        )
        shelf.parcels[attempt.delivery] = replace(parcel, delivery=changed)


def _ids(shelf: Shelf, now: datetime) -> set[str]:
    return {each.id for each in shelf.subscriptions.values() if each.is_live(now)}


def _alive(shelf: Shelf, subscription_id: str, now: datetime) -> Iterator[Parcel]:
    return (
        each
        for each in shelf.parcels.values()
        if each.delivery.subscription_id == subscription_id
        and now < each.delivery.notice.expires_at
    )


def _fronts(shelf: Shelf, subscription: Subscription, now: datetime) -> Iterator[Delivery]:
    """What nothing stands before: the first ones of each lane, a batch of it."""
    seen: dict[str, list[Delivery]] = {}
    for parcel in _alive(shelf, subscription.id, now):
        if parcel.delivery.failed:
            continue
        if parcel.lane is None:
            yield parcel.delivery
            continue
        before = seen.setdefault(parcel.lane, [])
        if len(before) < subscription.options.batch and all(each.due_at <= now for each in before):
            yield parcel.delivery
        before.append(parcel.delivery)


def _due(shelf: Shelf, subscription: Subscription, now: datetime) -> list[Delivery]:
    found = [each for each in _fronts(shelf, subscription, now) if each.due_at <= now]
    if shelf.topic.ordering is Ordering.NONE:
        found.sort(key=lambda each: (each.due_at, each.position))
    return found


def _over(shelf: Shelf, now: datetime, forget_attempts: datetime) -> list[Callable[[], object]]:
    found: list[Callable[[], object]] = []
    for position, parcel in shelf.parcels.items():
        if parcel.delivery.notice.expires_at <= now:
            found.append(_drop(shelf, position))
    for subscription in shelf.subscriptions.values():
        if not subscription.is_live(now):
            found.append(_forget(shelf, subscription.id))
    for log in shelf.attempts.values():
        found += [_strike(log, each) for each in log if each.at < forget_attempts]
    return found


def _drop(shelf: Shelf, position: int) -> Callable[[], object]:
    return lambda: shelf.parcels.pop(position, None)


def _forget(shelf: Shelf, subscription_id: str) -> Callable[[], object]:
    return lambda: shelf.forget(subscription_id)


def _strike(log: list[Attempt], attempt: Attempt) -> Callable[[], object]:
    return lambda: log.remove(attempt)
