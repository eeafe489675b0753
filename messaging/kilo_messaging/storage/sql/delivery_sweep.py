"""Removing subscriptions, deliveries and log lines that are over, a batch at a time."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from kilo_messaging.storage.sql.subscription_tables import (
    attempts,
    deliveries,
    notices,
    subscriptions,
)
from kilo_messaging.storage.sql.subscriptions import remove_subscriptions
from kilo_messaging.storage.sql.tables import topics

_n = notices.c


def sweep_deliveries(
    connection: sa.Connection, now: datetime, limit: int, forget_attempts: datetime
) -> int:
    """Remove up to about `limit` rows; how many."""
    over = _find(connection, _n.message_id, _n.expires_at <= now, limit)
    if over:
        connection.execute(deliveries.delete().where(deliveries.c.message_id.in_(over)))
        connection.execute(notices.delete().where(_n.message_id.in_(over)))
    ended = _find(
        connection, subscriptions.c.id, subscriptions.c.expires_at <= now, limit - len(over)
    )
    if not ended and len(over) < limit:
        gone = subscriptions.c.topic_id.not_in(sa.select(topics.c.id))
        ended = _find(connection, subscriptions.c.id, gone, limit - len(over))
    if ended:
        remove_subscriptions(connection, ended)
    old = _find(
        connection, attempts.c.seq, attempts.c.at < forget_attempts, limit - len(over) - len(ended)
    )
    if old:
        connection.execute(attempts.delete().where(attempts.c.seq.in_(old)))
    return len(over) + len(ended) + len(old)


def remove_idle_notices(connection: sa.Connection, message_ids: Collection[str]) -> None:
    """Remove those of these notices that nobody waits for any more."""
    waiting = sa.exists().where(deliveries.c.message_id == _n.message_id)
    connection.execute(notices.delete().where(_n.message_id.in_(message_ids), ~waiting))


def _find(
    connection: sa.Connection,
    key: sa.Column[Any],
    condition: sa.ColumnElement[bool],
    limit: int,
) -> Sequence[Any]:
    if limit <= 0:
        return []
    batch = sa.select(key).where(condition).limit(limit).with_for_update(skip_locked=True)
    return connection.execute(batch).scalars().all()
