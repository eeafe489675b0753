"""Removing what nobody can see any more, a batch at a time."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from kilo_messaging.storage.sql.tables import (
    claims,
    deduplication,
    deleted_topics,
    lanes,
    messages,
    post_keys,
)


def sweep(connection: sa.Connection, now: datetime, limit: int, forget_keys: datetime) -> int:
    """Remove up to `limit` rows; how many there were."""
    removed = _remove(connection, messages.c.seq, messages.c.expires_at <= now, limit)
    removed += _remove(connection, claims.c.id, claims.c.expires_at <= now, limit - removed)
    removed += _remove(
        connection, post_keys.c.key, post_keys.c.used_at < forget_keys, limit - removed
    )
    removed += _forget_duplicates(connection, now, limit - removed)
    return removed + _empty_deleted_topics(connection, limit - removed)


def _remove(
    connection: sa.Connection,
    key: sa.Column[Any],
    condition: sa.ColumnElement[bool],
    limit: int,
) -> int:
    if limit <= 0:
        return 0
    batch = sa.select(key).where(condition).limit(limit).with_for_update(skip_locked=True)
    found: Sequence[Any] = connection.execute(batch).scalars().all()
    if found:
        connection.execute(sa.delete(key.table).where(key.in_(found)))
    return len(found)


def _empty_deleted_topics(connection: sa.Connection, limit: int) -> int:
    if limit <= 0:
        return 0
    topic_id = connection.scalar(sa.select(deleted_topics.c.topic_id).limit(1))
    if topic_id is None:
        return 0
    removed = _remove(connection, messages.c.seq, messages.c.topic_id == topic_id, limit)
    if removed == 0:
        connection.execute(lanes.delete().where(lanes.c.topic_id == topic_id))
        connection.execute(deleted_topics.delete().where(deleted_topics.c.topic_id == topic_id))
        return 1
    return removed


def _forget_duplicates(connection: sa.Connection, now: datetime, limit: int) -> int:
    if limit <= 0:
        return 0
    kept = deduplication.c
    over = sa.select(kept.topic_id, kept.dedup_id).where(kept.until <= now).limit(limit)
    found = connection.execute(over.with_for_update(skip_locked=True)).all()
    for row in found:
        one = (kept.topic_id == row.topic_id, kept.dedup_id == row.dedup_id)
        connection.execute(deduplication.delete().where(*one))
    return len(found)
