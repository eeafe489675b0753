"""Purge and redrive: batch by batch, up to the last message that was there at the beginning."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from kilo_common.db.database import Database
from kilo_common.db.prepared import Prepared
from kilo_messaging.domain.message import State
from kilo_messaging.domain.topic import Ordering, TopicKey
from kilo_messaging.storage.sql.inserts import insert_rows
from kilo_messaging.storage.sql.lanes import lock_lanes, wake_lanes
from kilo_messaging.storage.sql.order import make_due_ready
from kilo_messaging.storage.sql.tables import message_of, message_row, messages, topic_of
from kilo_messaging.storage.sql.topics import again_if_raced, ensure_topic, find_topic

BATCH = 500
_c = messages.c
_REMOVE = Prepared(messages.delete().where(_c.seq.in_(sa.bindparam("positions", expanding=True))))


def purge(database: Database, key: TopicKey, now: datetime) -> None:
    """Remove what is not claimed."""
    last = database.read(lambda connection: _last_of(connection, key))

    def remove_some(connection: sa.Connection) -> int:
        topic = find_topic(connection, key)
        return 0 if topic is None else _purge_batch(connection, topic.id, last, now)

    def wake(connection: sa.Connection) -> None:
        topic = find_topic(connection, key)
        if topic is not None and topic_of(topic).ordering is not Ordering.NONE:
            wake_lanes(connection, topic.id, None, now)

    while database.write(remove_some):
        pass
    database.write(wake)


def redrive(database: Database, key: TopicKey, now: datetime) -> dict[TopicKey, int]:
    """Send dead letters that nobody has claimed back; how many to which topic."""
    last = database.read(lambda connection: _last_of(connection, key))

    def move_from(after: int) -> tuple[Counter[TopicKey], int | None]:
        def move_some(connection: sa.Connection) -> tuple[Counter[TopicKey], int | None]:
            topic = find_topic(connection, key)
            if topic is None:
                return Counter(), None
            return _redrive_batch(connection, topic, (after, last), now)

        return again_if_raced(lambda: database.write(move_some))

    moved, after = move_from(0)
    while after is not None:
        more, after = move_from(after)
        moved += more
    return dict(moved)


def _last_of(connection: sa.Connection, key: TopicKey) -> int:
    """The position of the newest message; 0 if there is none."""
    topic = find_topic(connection, key)
    if topic is None:
        return 0
    newest = (
        connection.scalar(
            sa.select(_c.seq)
            .where(_c.topic_id == topic.id, _c.state == int(state))
            .order_by(_c.seq.desc())
            .limit(1)
        )
        for state in State
    )
    return max(position or 0 for position in newest)


def _purge_batch(connection: sa.Connection, topic_id: int, last: int, now: datetime) -> int:
    removed = 0
    for not_claimed in (
        _c.state == int(State.READY),
        _c.state == int(State.DELAYED),
        sa.and_(_c.state == int(State.CLAIMED), _c.visible_at <= now),
    ):
        batch = (
            sa.select(_c.seq)
            .where(_c.topic_id == topic_id, not_claimed, _c.seq <= last)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        )
        removed += remove(connection, connection.execute(batch).scalars().all())
    return removed


def _redrive_batch(
    connection: sa.Connection, topic: Any, span: tuple[int, int], now: datetime
) -> tuple[Counter[TopicKey], int | None]:
    """Move one batch out of a span of positions; also after which position the next begins."""
    after, last = span
    make_due_ready(connection, topic.id, now)
    ready = (
        _c.topic_id == topic.id,
        _c.state == int(State.READY),
        _c.seq > after,
        _c.seq <= last,
        _c.expires_at > now,
    )
    names: list[str] = []
    if topic_of(topic).ordering is not Ordering.NONE:
        some = sa.select(_c.lane).where(*ready).order_by(_c.seq).limit(BATCH)
        names = lock_lanes(connection, topic.id, some)
    batch = sa.select(messages).where(*ready).order_by(_c.seq).limit(BATCH)
    found = connection.execute(batch.with_for_update(skip_locked=True)).all()
    letters = [message_of(row) for row in found if row.source is not None]
    remove(connection, [letter.position for letter in letters])
    wake_lanes(connection, topic.id, names, now)
    targets = {
        name: ensure_topic(connection, TopicKey(topic.project_id, name), now)
        for name in sorted({str(letter.source) for letter in letters})
    }
    rows: list[dict[str, Any]] = []
    moved: Counter[TopicKey] = Counter()
    for letter in letters:
        target = targets[str(letter.source)]
        source = topic_of(target)
        rows.append(message_row(letter.redriven(now), target.id, source.lane(letter.group)))
        moved[source.key] += 1
    insert_rows(connection, rows, now)
    return moved, found[-1].seq if len(found) == BATCH else None


def remove(connection: sa.Connection, positions: Sequence[int]) -> int:
    """Remove the messages at these positions; how many these are."""
    if positions:
        _REMOVE.run(connection, {"positions": positions})
    return len(positions)
