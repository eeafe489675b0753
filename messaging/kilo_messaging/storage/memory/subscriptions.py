"""Subscriptions in memory, and the deliveries that a post records for them."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from kilo_messaging.domain.delivery import Delivery, notice_of
from kilo_messaging.domain.message import Message
from kilo_messaging.domain.subscription import Subscription
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.errors import SubscriptionExists
from kilo_messaging.storage.memory.shelf import Memory, Parcel, Shelf
from kilo_messaging.storage.subscription_base import ChangeSubscription, SubscriptionStore


class MemorySubscriptions(SubscriptionStore):
    """Subscriptions in memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def create(self, subscription: Subscription, now: datetime) -> Subscription:
        with self._memory.lock:
            shelf = self._memory.shelf(subscription.key, now)
            kept = subscription
            for present in list(shelf.subscriptions.values()):
                if present.subscriber != subscription.subscriber:
                    continue
                if present.is_live(now) and present.confirmed:
                    raise _exists(present)
                if present.is_live(now):
                    kept = msgspec.structs.replace(subscription, id=present.id)
                else:
                    shelf.forget(present.id)
            shelf.subscriptions[kept.id] = kept
            return kept

    def get(self, key: TopicKey, subscription_id: str, now: datetime) -> Subscription | None:
        return self._memory.on_shelf(
            key, lambda shelf: _live(shelf, now).get(subscription_id), None
        )

    def page(
        self, key: TopicKey, *, after: str, limit: int, now: datetime
    ) -> Sequence[Subscription]:
        def work(shelf: Shelf) -> list[Subscription]:
            live = _live(shelf, now)
            return [live[each] for each in sorted(live) if each > after][:limit]

        return self._memory.on_shelf(key, work, [])

    def update(
        self, key: TopicKey, subscription_id: str, change: ChangeSubscription, now: datetime
    ) -> Subscription | None:
        def work(shelf: Shelf) -> Subscription | None:
            present = _live(shelf, now).get(subscription_id)
            if present is None:
                return None
            changed = change(present)
            for other in shelf.subscriptions.values():
                if other.id != changed.id and other.subscriber == changed.subscriber:
                    raise _exists(other)
            shelf.subscriptions[subscription_id] = changed
            return changed

        return self._memory.on_shelf(key, work, None)

    def delete(self, key: TopicKey, subscription_id: str) -> None:
        self._memory.on_shelf(key, lambda shelf: shelf.forget(subscription_id), None)


def record_deliveries(
    memory: Memory, shelf: Shelf, messages: Sequence[Message], now: datetime
) -> bool:
    """Record a delivery of each message for each subscription that wants it; whether there was any.
    Under the lock."""
    recorded = False
    for message in messages:
        for subscription in shelf.subscriptions.values():
            if subscription.wants(message, now):
                delivery = Delivery(
                    position=memory.next_position(),
                    subscription_id=subscription.id,
                    notice=notice_of(message),
                    due_at=message.visible_at,
                )
                lane = shelf.topic.lane(message.group)
                shelf.parcels[delivery.position] = Parcel(delivery, lane)
                recorded = True
    return recorded


def _live(shelf: Shelf, now: datetime) -> dict[str, Subscription]:
    return {each.id: each for each in shelf.subscriptions.values() if each.is_live(now)}


def _exists(present: Subscription) -> SubscriptionExists:
    return SubscriptionExists(
        "The topic has a subscription of this subscriber already", subscription_id=present.id
    )
