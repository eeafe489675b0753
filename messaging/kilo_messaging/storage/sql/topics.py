"""Topics in SQL."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from kilo_common.db.database import ConstraintViolated, Database
from kilo_common.db.prepared import Prepared
from kilo_messaging.domain.topic import Metadata, Topic, TopicKey
from kilo_messaging.storage.base import Change, TopicStore
from kilo_messaging.storage.sql.tables import claims, deleted_topics, topic_of, topics

T = TypeVar("T")


class SqlTopics(TopicStore):
    """Topics in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, key: TopicKey, metadata: Metadata, now: datetime) -> bool:
        def work(connection: sa.Connection) -> bool:
            if find_topic(connection, key) is not None:
                return False
            insert_topic(connection, key, metadata, now)
            return True

        try:
            return self._database.write(work)
        except ConstraintViolated:
            return False  # another process made it between our look and our insert

    def get(self, key: TopicKey) -> Topic | None:
        row = self._database.read(lambda connection: find_topic(connection, key))
        return None if row is None else topic_of(row)

    def page(self, project_id: str, *, after: str, limit: int) -> list[Topic]:
        query = (
            sa.select(topics)
            .where(topics.c.project_id == project_id, topics.c.name > after)
            .order_by(topics.c.name)
            .limit(limit)
        )
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return [topic_of(row) for row in rows]

    def count(self, project_id: str) -> int:
        query = sa.select(sa.func.count()).where(topics.c.project_id == project_id)
        return int(self._database.read(lambda connection: connection.scalar(query)) or 0)

    def update(self, key: TopicKey, change: Change, now: datetime) -> Topic:
        def work(connection: sa.Connection) -> Topic:
            row = ensure_topic(connection, key, now, lock=True)
            topic = topic_of(row)
            changed = msgspec.structs.replace(topic, metadata=change(topic.metadata))
            connection.execute(
                topics.update()
                .where(topics.c.id == row.id)
                .values(metadata=msgspec.json.encode(changed.metadata))
            )
            return changed

        return again_if_raced(lambda: self._database.write(work))

    def delete(self, key: TopicKey) -> None:
        def work(connection: sa.Connection) -> None:
            row = find_topic(connection, key, lock=True)
            if row is None:
                return
            connection.execute(topics.delete().where(topics.c.id == row.id))
            connection.execute(claims.delete().where(claims.c.topic_id == row.id))
            connection.execute(deleted_topics.insert().values(topic_id=row.id))

        self._database.write(work)


_FIND = sa.select(topics).where(
    topics.c.project_id == sa.bindparam("project"), topics.c.name == sa.bindparam("topic")
)
_BY_KEY, _BY_KEY_LOCKED = Prepared(_FIND), Prepared(_FIND.with_for_update())


def find_topic(connection: sa.Connection, key: TopicKey, *, lock: bool = False) -> Any:
    """The topic's row, or None."""
    query = _BY_KEY_LOCKED if lock else _BY_KEY
    return query.first(connection, {"project": key.project_id, "topic": key.name})


def insert_topic(
    connection: sa.Connection, key: TopicKey, metadata: Metadata, now: datetime
) -> None:
    """Add a topic's row."""
    connection.execute(
        topics.insert(),
        {
            "project_id": key.project_id,
            "name": key.name,
            "metadata": msgspec.json.encode(metadata),
            "created_at": now,
        },
    )


def ensure_topic(
    connection: sa.Connection, key: TopicKey, now: datetime, *, lock: bool = False
) -> Any:
    """The topic's row, which is added if it is missing."""
    row = find_topic(connection, key, lock=lock)
    if row is None:
        insert_topic(connection, key, {}, now)
        row = find_topic(connection, key, lock=lock)
    return row


def again_if_raced(write: Callable[[], T]) -> T:
    """Run `write`; once more if another process added the same topic meanwhile."""
    try:
        return write()
    except ConstraintViolated:
        return write()
