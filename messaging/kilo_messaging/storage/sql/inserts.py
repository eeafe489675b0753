"""Writing many posts in one transaction."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from kilo_messaging.domain.topic import Topic, TopicKey
from kilo_messaging.storage.sql.post_line import Outcome, Post
from kilo_messaging.storage.sql.tables import message_row, messages, post_keys, topic_of
from kilo_messaging.storage.sql.topics import find_topic, insert_topic

_KEY_USED = sa.select(post_keys.c.key).where(post_keys.c.key == sa.bindparam("once"))
_INSERT = messages.insert()


def insert_posts(connection: sa.Connection, posts: Sequence[Post]) -> list[Outcome]:
    """Insert the messages of all posts; a post that cannot be made leaves no trace of its own."""
    topics: dict[TopicKey, tuple[int | None, Topic]] = {}
    outcomes: list[Outcome] = []
    rows: list[dict[str, Any]] = []
    for post in posts:
        try:
            outcome = _insert(connection, post, topics, rows)
        except sa.exc.SQLAlchemyError:
            raise
        except Exception as fault:  # noqa: BLE001 - `prepare` is the caller's, and so is its error
            outcome = fault
        outcomes.append(outcome)
    if rows:
        connection.execute(_INSERT, rows)
    return outcomes


def _insert(
    connection: sa.Connection,
    post: Post,
    topics: dict[TopicKey, tuple[int | None, Topic]],
    rows: list[dict[str, Any]],
) -> Outcome:
    if post.once is not None and connection.execute(_KEY_USED, {"once": post.once}).first():
        return None
    topic_id, topic = topics.get(post.key) or _look_up(connection, post)
    posted = list(post.prepare(topic))
    # Only what is sure to be posted is written down.
    if topic_id is None:
        insert_topic(connection, post.key, {}, post.now)
        topic_id, topic = _look_up(connection, post)
        assert topic_id is not None
    topics[post.key] = topic_id, topic
    if post.once is not None:
        connection.execute(post_keys.insert(), {"key": post.once, "used_at": post.now})
    rows += [message_row(message, topic_id) for message in posted]
    return posted


def _look_up(connection: sa.Connection, post: Post) -> tuple[int | None, Topic]:
    row = find_topic(connection, post.key)
    if row is None:
        return None, Topic(key=post.key, metadata={}, created_at=post.now)
    return row.id, topic_of(row)
