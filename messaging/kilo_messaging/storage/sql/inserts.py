"""Writing many posts in one transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias

import msgspec
import sqlalchemy as sa

from kilo_common.db.prepared import Prepared
from kilo_messaging.domain.message import Message
from kilo_messaging.domain.topic import Topic, TopicKey
from kilo_messaging.storage.base import Outcome, Post, Posted
from kilo_messaging.storage.sql.lanes import open_lanes
from kilo_messaging.storage.sql.subscriptions import record_deliveries
from kilo_messaging.storage.sql.tables import (
    deduplication,
    message_row,
    messages,
    post_keys,
    topic_of,
    topics,
)
from kilo_messaging.storage.sql.topics import find_topic, insert_topic

_KEY_USED = Prepared(sa.select(post_keys.c.key).where(post_keys.c.key == sa.bindparam("once")))
_INSERT = Prepared(
    messages.insert().values(
        {column.name: sa.bindparam(column.name) for column in messages.c if column.name != "seq"}
    )
)
Placed: TypeAlias = tuple[int, str | None, Message]
"""A message to add, with its topic's id and its lane there."""
_LOCK_TOPICS = (
    sa.select(topics.c.id)
    .where(topics.c.id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(topics.c.id)
    .with_for_update()
)


def insert_posts(connection: sa.Connection, posts: Sequence[Post]) -> list[Outcome]:
    """Insert the messages of all posts; a post that cannot be made leaves no trace of its own."""
    known: dict[TopicKey, tuple[int | None, Topic]] = {}
    outcomes: list[Outcome] = []
    placed: list[Placed] = []
    for post in posts:
        try:
            outcome = _insert(connection, post, known, placed)
        except sa.exc.SQLAlchemyError:
            raise
        except Exception as fault:  # noqa: BLE001 - `prepare` is the caller's, and so is its error
            outcome = fault
        outcomes.append(outcome)
    if placed:
        now = posts[0].now
        rows = [message_row(message, topic_id, lane) for topic_id, lane, message in placed]
        insert_rows(connection, rows, now)
        wanted = record_deliveries(connection, placed, now)
        if wanted:
            outcomes = [
                msgspec.structs.replace(outcome, recorded=known[post.key][0] in wanted)
                if isinstance(outcome, Posted)
                else outcome
                for post, outcome in zip(posts, outcomes, strict=True)
            ]
    return outcomes


def insert_rows(connection: sa.Connection, rows: Sequence[dict[str, Any]], now: datetime) -> None:
    """Add messages that `message_row` made, those of a lane behind all that are in it.

    Until the commit nobody else adds to the same topics: a sequence hands out its numbers at once,
    and if a later one became visible before an earlier one, who reads page by page would pass the
    earlier message by. Lanes are locked before topics, by everybody.
    """
    if not rows:
        return
    in_lanes = [(row["topic_id"], row["lane"]) for row in rows if row["lane"] is not None]
    if in_lanes:
        open_lanes(connection, in_lanes, now)
    if connection.dialect.name != "sqlite":  # which has one writer at a time anyway
        adding_to = sorted({row["topic_id"] for row in rows})
        connection.execute(_LOCK_TOPICS, {"ids": adding_to})
    _INSERT.run_many(connection, rows)


def _insert(
    connection: sa.Connection,
    post: Post,
    known: dict[TopicKey, tuple[int | None, Topic]],
    placed: list[Placed],
) -> Outcome:
    """Do all for one post but insert its messages, which are added to `placed`."""
    if post.once is not None and _KEY_USED.first(connection, {"once": post.once}):
        return None
    topic_id, topic = known.get(post.key) or _look_up(connection, post)
    posted = list(post.prepare(topic))
    # Only what is sure to be posted is written down.
    if topic_id is None:
        insert_topic(connection, post.key, {}, post.now)
        topic_id, topic = _look_up(connection, post)
        assert topic_id is not None
    known[post.key] = topic_id, topic
    if post.once is not None:
        connection.execute(post_keys.insert(), {"key": post.once, "used_at": post.now})
    ids, added = [], []
    for message in posted:
        kept = message.id
        if message.dedup_id is not None:
            kept = _id_kept(connection, topic_id, message, post)
        ids.append(kept)
        if kept == message.id:
            added.append(message)
            placed.append((topic_id, topic.lane(message.group), message))
    return Posted(ids, added)


def _id_kept(connection: sa.Connection, topic_id: int, message: Message, post: Post) -> str:
    """The message's id, which is noted under its deduplication id, or the one noted before."""
    kept = deduplication.c
    known = (kept.topic_id == topic_id, kept.dedup_id == message.dedup_id)
    row = connection.execute(sa.select(deduplication).where(*known).with_for_update()).first()
    if row is not None and row.until > post.now:
        return str(row.message_id)
    noted = {"message_id": message.id, "until": post.now + post.window}
    if row is not None:
        connection.execute(deduplication.update().where(*known).values(noted))
    else:
        key = {"topic_id": topic_id, "dedup_id": message.dedup_id}
        connection.execute(deduplication.insert(), key | noted)
    return message.id


def _look_up(connection: sa.Connection, post: Post) -> tuple[int | None, Topic]:
    row = find_topic(connection, post.key)
    if row is None:
        return None, Topic(key=post.key, metadata={}, created_at=post.now)
    return row.id, topic_of(row)
