"""Subscriptions in SQL, and the deliveries that a post records for them."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from kilo_common.db.database import ConstraintViolated, Database
from kilo_common.db.prepared import Prepared
from kilo_messaging.domain.delivery import Delivery
from kilo_messaging.domain.message import Message
from kilo_messaging.domain.subscription import Subscription
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.errors import SubscriptionExists
from kilo_messaging.storage.sql.subscription_tables import (
    FAILED,
    PENDING,
    attempts,
    deliveries,
    hash_of,
    notice_as_row,
    notice_row,
    notices,
    subscription_of,
    subscription_row,
    subscriptions,
)
from kilo_messaging.storage.sql.tables import topic_of
from kilo_messaging.storage.sql.topics import ensure_topic, find_topic
from kilo_messaging.storage.subscription_base import ChangeSubscription, SubscriptionStore

T = TypeVar("T")
_s = subscriptions.c
_BY_TOPICS = Prepared(
    sa.select(subscriptions).where(_s.topic_id.in_(sa.bindparam("topics", expanding=True)))
)


class SqlSubscriptions(SubscriptionStore):
    """Subscriptions in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, subscription: Subscription, now: datetime) -> Subscription:
        def work(connection: sa.Connection) -> Subscription:
            topic = ensure_topic(connection, subscription.key, now)
            same = (
                _s.topic_id == topic.id,
                _s.subscriber_hash == hash_of(subscription.subscriber),
            )
            row = connection.execute(
                sa.select(subscriptions).where(*same).with_for_update()
            ).first()
            if row is None:
                connection.execute(subscriptions.insert(), subscription_row(subscription, topic.id))
                return subscription
            present = subscription_of(row)
            if present.is_live(now) and present.confirmed:
                raise _exists(present)
            if not present.is_live(now):
                remove_subscriptions(connection, [present.id])
                connection.execute(subscriptions.insert(), subscription_row(subscription, topic.id))
                return subscription
            kept = msgspec.structs.replace(subscription, id=present.id)
            connection.execute(
                subscriptions.update()
                .where(_s.id == present.id)
                .values(subscription_row(kept, topic.id))
            )
            return kept

        return _again(lambda: self._database.write(work))

    def get(self, key: TopicKey, subscription_id: str, now: datetime) -> Subscription | None:
        def work(connection: sa.Connection) -> Subscription | None:
            row = find_subscription(connection, key, subscription_id, now)
            return None if row is None else subscription_of(row)

        return self._database.read(work)

    def page(
        self, key: TopicKey, *, after: str, limit: int, now: datetime
    ) -> Sequence[Subscription]:
        def work(connection: sa.Connection) -> list[Subscription]:
            topic = find_topic(connection, key)
            if topic is None:
                return []
            query = (
                sa.select(subscriptions)
                .where(_s.topic_id == topic.id, _s.id > after, _s.expires_at > now)
                .order_by(_s.id)
                .limit(limit)
            )
            return [subscription_of(row) for row in connection.execute(query)]

        return self._database.read(work)

    def update(
        self, key: TopicKey, subscription_id: str, change: ChangeSubscription, now: datetime
    ) -> Subscription | None:
        def work(connection: sa.Connection) -> Subscription | None:
            row = find_subscription(connection, key, subscription_id, now, lock=True)
            if row is None:
                return None
            changed = change(subscription_of(row))
            if hash_of(changed.subscriber) != row.subscriber_hash:
                _check_free(connection, row.topic_id, changed.subscriber)
            connection.execute(
                subscriptions.update()
                .where(_s.id == subscription_id)
                .values(subscription_row(changed, row.topic_id))
            )
            return changed

        return _again(lambda: self._database.write(work))

    def delete(self, key: TopicKey, subscription_id: str) -> None:
        def work(connection: sa.Connection) -> None:
            topic = find_topic(connection, key)
            if topic is None:
                return
            mine = sa.select(_s.id).where(_s.id == subscription_id, _s.topic_id == topic.id)
            if connection.execute(mine.with_for_update()).first() is not None:
                remove_subscriptions(connection, [subscription_id])

        self._database.write(work)


def find_subscription(
    connection: sa.Connection,
    key: TopicKey,
    subscription_id: str,
    now: datetime,
    *,
    lock: bool = False,
) -> Any:
    """The row of a subscription to a topic, or None."""
    topic = find_topic(connection, key)
    if topic is None:
        return None
    query = sa.select(subscriptions).where(
        _s.id == subscription_id, _s.topic_id == topic.id, _s.expires_at > now
    )
    return connection.execute(query.with_for_update() if lock else query).first()


def remove_subscriptions(connection: sa.Connection, ids: Sequence[str]) -> None:
    """Remove subscriptions with all that is theirs; notices that nobody waits for are swept."""
    for table in (deliveries, attempts):
        connection.execute(table.delete().where(table.c.subscription_id.in_(ids)))
    connection.execute(subscriptions.delete().where(_s.id.in_(ids)))


def record_deliveries(
    connection: sa.Connection,
    posted: Iterable[tuple[int, str | None, Message]],
    now: datetime,
) -> set[int]:
    """Record a delivery of each message for each subscription that wants it.

    `posted` names for each message its topic's id and its lane there. The ids of the topics with
    something to deliver are returned.
    """
    messages = list(posted)
    wanting = _subscriptions_of(connection, {topic_id for topic_id, _lane, _message in messages})
    if not wanting:
        return set()
    recording: set[int] = set()
    kept: list[dict[str, Any]] = []
    recorded: list[dict[str, Any]] = []
    for topic_id, lane, message in messages:
        rows = [
            {
                "subscription_id": each.id,
                "message_id": message.id,
                "lane": lane,
                "state": PENDING,
                "due_at": message.visible_at,
                "attempts": 0,
                "reason": None,
            }
            for each in wanting.get(topic_id, ())
            if each.wants(message, now)
        ]
        if rows:
            recorded += rows
            kept.append(notice_row(message))
            recording.add(topic_id)
    if recorded:
        connection.execute(notices.insert(), kept)
        connection.execute(deliveries.insert(), recorded)
    return recording


def put_deliveries(
    connection: sa.Connection,
    key: TopicKey,
    subscription_id: str,
    found: Sequence[Delivery],
    now: datetime,
) -> None:
    """Add deliveries as they are; see `DeliveryStore.put`."""
    if not found or find_subscription(connection, key, subscription_id, now) is None:
        return
    topic = topic_of(find_topic(connection, key))
    ids = [each.notice.message_id for each in found]
    query = sa.select(notices.c.message_id).where(notices.c.message_id.in_(ids))
    known = set(connection.execute(query).scalars())
    new = {each.notice.message_id: each.notice for each in found}
    if fresh := [notice_as_row(each) for name, each in new.items() if name not in known]:
        connection.execute(notices.insert(), fresh)
    rows = [
        {
            "subscription_id": subscription_id,
            "message_id": each.notice.message_id,
            "lane": topic.lane(each.notice.group),
            "state": FAILED if each.failed else PENDING,
            "due_at": each.due_at,
            "attempts": each.attempts,
            "reason": each.reason,
        }
        for each in found
    ]
    connection.execute(deliveries.insert(), rows)


def _subscriptions_of(
    connection: sa.Connection, topic_ids: Collection[int]
) -> Mapping[int, list[Subscription]]:
    found: dict[int, list[Subscription]] = {}
    if not topic_ids:
        return found
    for row in _BY_TOPICS.rows(connection, {"topics": sorted(topic_ids)}):
        found.setdefault(row.topic_id, []).append(subscription_of(row))
    return found


def _check_free(connection: sa.Connection, topic_id: int, subscriber: str) -> None:
    same = sa.select(subscriptions).where(
        _s.topic_id == topic_id, _s.subscriber_hash == hash_of(subscriber)
    )
    row = connection.execute(same).first()
    if row is not None:
        raise _exists(subscription_of(row))


def _exists(present: Subscription) -> SubscriptionExists:
    return SubscriptionExists(
        "The topic has a subscription of this subscriber already", subscription_id=present.id
    )


def _again(write: Callable[[], T]) -> T:
    """Run `write`; once more if another process added the same subscriber or topic meanwhile."""
    try:
        return write()
    except ConstraintViolated:
        return write()
