"""Deliveries in SQL: who gets which, how they end, and the log of attempts."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from kilo_common.db.database import Database
from kilo_messaging.domain.delivery import Attempt, Delivery, Job, Settlement
from kilo_messaging.domain.subscription import Subscription, SubscriptionState
from kilo_messaging.domain.topic import ORDERING, Ordering, TopicKey
from kilo_messaging.storage.sql.delivery_lanes import WITH_NOTICE, take_lanes
from kilo_messaging.storage.sql.delivery_settling import settle
from kilo_messaging.storage.sql.delivery_sweep import sweep_deliveries
from kilo_messaging.storage.sql.subscription_tables import (
    FAILED,
    PENDING,
    attempt_of,
    attempts,
    deliveries,
    delivery_of,
    notices,
    subscription_of,
    subscriptions,
)
from kilo_messaging.storage.sql.subscriptions import find_subscription, put_deliveries
from kilo_messaging.storage.sql.tables import topics
from kilo_messaging.storage.subscription_base import DeliveryStore

T = TypeVar("T")
_d = deliveries.c
_s = subscriptions.c
_NEXT = (
    sa.select(sa.func.min(_d.due_at))
    .where(_d.subscription_id == _s.id, _d.state == PENDING)
    .scalar_subquery()
)
_ACTIVE = _s.state == SubscriptionState.ACTIVE.value


class SqlDeliveries(DeliveryStore):
    """Deliveries in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(
        self, now: datetime, until: datetime, *, limit: int, each: int, busy: Collection[str] = ()
    ) -> Sequence[Job]:
        due = _with_due(now, limit, busy)
        found = self._database.read(lambda connection: connection.execute(due).all())
        if not found:
            return []

        def work(connection: sa.Connection) -> list[Job]:
            jobs: list[Job] = []
            left = limit
            for row in found:
                if left <= 0:
                    break
                subscription = subscription_of(row)
                rows = _take(connection, row, subscription, min(each, left), now, until)
                left -= len(rows)
                jobs += _jobs(subscription, [delivery_of(one) for one in rows])
            taken = [one.position for job in jobs for one in job.deliveries]
            if taken:
                connection.execute(
                    deliveries.update().where(_d.seq.in_(taken)).values(due_at=until)
                )
            return jobs

        return self._database.write(work)

    def next_due(self, now: datetime) -> datetime | None:
        query = sa.select(sa.func.min(_NEXT)).where(_ACTIVE, _s.expires_at > now, now < _NEXT)
        found: datetime | None = self._database.read(lambda connection: connection.scalar(query))
        return found

    def settle(self, settlements: Sequence[Settlement], now: datetime) -> None:
        if settlements:
            self._database.write(lambda connection: settle(connection, settlements, now))

    def attempts(
        self, key: TopicKey, subscription_id: str, *, before: int | None, limit: int
    ) -> Sequence[Attempt]:
        log = attempts.c
        query = sa.select(attempts).where(log.subscription_id == subscription_id)
        if before is not None:
            query = query.where(log.seq < before)
        query = query.order_by(log.seq.desc()).limit(limit)
        return self._of(
            key, subscription_id, lambda connection: [*map(attempt_of, connection.execute(query))]
        )

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
        query = (
            WITH_NOTICE.where(
                _d.subscription_id == subscription_id,
                _d.state == (FAILED if failed else PENDING),
                _d.seq > after,
                notices.c.expires_at > now,
            )
            .order_by(_d.seq)
            .limit(limit)
        )
        return self._of(
            key, subscription_id, lambda connection: [*map(delivery_of, connection.execute(query))]
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
        def work(connection: sa.Connection) -> int:
            if find_subscription(connection, key, subscription_id, now) is None:
                return 0
            alive = sa.select(notices.c.message_id).where(notices.c.expires_at > now)
            if since is not None:
                alive = alive.where(notices.c.posted_at >= since)
            those = [
                _d.subscription_id == subscription_id,
                _d.state == FAILED,
                _d.message_id.in_(alive),
            ]
            if positions is not None:
                those.append(_d.seq.in_(positions))
            again = deliveries.update().where(*those)
            return connection.execute(
                again.values(state=PENDING, due_at=now, attempts=0, reason=None)
            ).rowcount

        return self._database.write(work)

    def put(
        self, key: TopicKey, subscription_id: str, deliveries: Sequence[Delivery], now: datetime
    ) -> None:
        self._database.write(
            lambda connection: put_deliveries(connection, key, subscription_id, deliveries, now)
        )

    def sweep(self, now: datetime, limit: int, forget_attempts: datetime) -> int:
        return self._database.write(
            lambda connection: sweep_deliveries(connection, now, limit, forget_attempts)
        )

    def _of(
        self, key: TopicKey, subscription_id: str, read: Callable[[sa.Connection], Sequence[T]]
    ) -> Sequence[T]:
        """What `read` finds, if the subscription is one of that topic."""
        mine = (
            sa.select(_s.id)
            .join(topics, topics.c.id == _s.topic_id)
            .where(
                _s.id == subscription_id,
                topics.c.project_id == key.project_id,
                topics.c.name == key.name,
            )
        )
        return self._database.read(
            lambda connection: (
                read(connection) if connection.execute(mine).first() is not None else []
            )
        )


def _with_due(now: datetime, limit: int, busy: Collection[str]) -> sa.Select[Any]:
    """The subscriptions with something due, those that have waited longest first."""
    query = (
        sa.select(subscriptions, topics.c.metadata.label("topic_metadata"))
        .join(topics, topics.c.id == _s.topic_id)
        .where(_ACTIVE, _s.expires_at > now, now >= _NEXT)
        .order_by(_NEXT)
        .limit(limit)
    )
    return query.where(_s.id.not_in(busy)) if busy else query


def _take(
    connection: sa.Connection,
    row: Any,
    subscription: Subscription,
    room: int,
    now: datetime,
    until: datetime,
) -> Sequence[Any]:
    ordering = msgspec.json.decode(row.topic_metadata).get(ORDERING, Ordering.NONE.value)
    if ordering != Ordering.NONE.value:
        return take_lanes(connection, subscription, room, now, until)
    query = (
        WITH_NOTICE.where(
            _d.subscription_id == subscription.id,
            _d.state == PENDING,
            _d.due_at <= now,
            notices.c.expires_at > now,
        )
        .order_by(_d.due_at, _d.seq)
        .limit(room)
        .with_for_update(skip_locked=True, of=deliveries)
    )
    return connection.execute(query).all()


def _jobs(subscription: Subscription, found: Sequence[Delivery]) -> list[Job]:
    size = subscription.options.batch
    return [Job(subscription, found[start : start + size]) for start in range(0, len(found), size)]
