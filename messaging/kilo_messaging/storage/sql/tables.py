"""The tables, and rows as domain values.

How a message is found quickly, however many there are:

- `messages_ready` (topic, state, sequence, expiry) leads a claim or a list straight to the oldest
  ready message; claimed and delayed ones lie in other stretches of the index and cost nothing.
- `messages_due` (topic, state, visible_at) finds claims and delays that have ended, which are made
  ready again before anything is read in order.
- On a topic that keeps order every message lies in a lane (the whole topic, or its group), and
  `lanes` has a row for each lane that may hold messages. `lanes_due` (topic, next_at) leads a claim
  to lanes whose first message may be ready, and `messages_lane` (topic, lane, sequence) to the
  first messages of one lane: lanes that wait for a claim to end lie in another stretch of
  `lanes_due`, and what waits behind a claimed message is never read. `next_at` may be too early,
  which costs a look, but never too late. A lane's row is locked before its messages are: by posts,
  so that positions become visible in order, by claims, and by whoever removes or releases its
  first.
- On a topic with priorities, a claim looks first at `messages_priority` (topic, state, priority,
  sequence), which holds only messages that have one, and then at the others.
- `messages_expiry` and `messages_claim` serve the sweep and operations on one claim.
"""

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from kilo_common.db.types import Timestamp
from kilo_messaging.domain.message import Message, State
from kilo_messaging.domain.topic import Topic, TopicKey

metadata = sa.MetaData()
Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""SQLite numbers rows by itself only in a column that is called INTEGER."""
MAX_BODY = 2**24 - 1


def text(length: int) -> sa.types.TypeEngine[str]:
    """Text that compares by its bytes on every database."""
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return (
        sa.String(length)
        .with_variant(exact, "mysql", "mariadb")
        .with_variant(sa.String(length, collation="C"), "postgresql")
    )


topics = sa.Table(
    "topics",
    metadata,
    sa.Column("id", Number, primary_key=True),
    sa.Column("project_id", text(256), nullable=False),
    sa.Column("name", text(64), nullable=False),
    sa.Column("metadata", sa.LargeBinary(MAX_BODY), nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.UniqueConstraint("project_id", "name", name="topics_key"),
    sqlite_autoincrement=True,  # an id is never used again, so leftovers never join a new topic
)

deleted_topics = sa.Table(
    "deleted_topics",
    metadata,
    sa.Column("topic_id", Number, primary_key=True, autoincrement=False),
)

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("seq", Number, primary_key=True),
    sa.Column("id", text(36), nullable=False),
    sa.Column("topic_id", Number, nullable=False),
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("body", sa.LargeBinary(MAX_BODY), nullable=False),
    sa.Column("ttl", sa.Integer, nullable=False),
    sa.Column("client_id", text(36), nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("expires_at", Timestamp, nullable=False),
    sa.Column("visible_at", Timestamp, nullable=False),
    sa.Column("claim_id", text(36)),
    sa.Column("claim_count", sa.Integer, nullable=False),
    sa.Column("message_group", text(128)),
    sa.Column("lane", text(128)),
    sa.Column("attributes", sa.LargeBinary(MAX_BODY)),
    sa.Column("source", text(64)),
    sa.Column("priority", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Index("messages_id", "id", unique=True),
    sa.Index("messages_ready", "topic_id", "state", "seq", "expires_at"),
    sa.Index("messages_expiry", "expires_at"),
    sqlite_autoincrement=True,  # a position is never given twice, so a marker stays valid
)
sa.Index(
    "messages_due",
    messages.c.topic_id,
    messages.c.state,
    messages.c.visible_at,
    sqlite_where=messages.c.state > 0,
    postgresql_where=messages.c.state > 0,
)
sa.Index(
    "messages_claim",
    messages.c.claim_id,
    sqlite_where=messages.c.claim_id.is_not(None),
    postgresql_where=messages.c.claim_id.is_not(None),
)

sa.Index(
    "messages_lane",
    messages.c.topic_id,
    messages.c.lane,
    messages.c.seq,
    messages.c.expires_at,
    sqlite_where=messages.c.lane.is_not(None),
    postgresql_where=messages.c.lane.is_not(None),
)

sa.Index(
    "messages_priority",
    messages.c.topic_id,
    messages.c.state,
    messages.c.priority.desc(),
    messages.c.seq,
    sqlite_where=messages.c.priority > 0,
    postgresql_where=messages.c.priority > 0,
)

lanes = sa.Table(
    "lanes",
    metadata,
    sa.Column("topic_id", Number, primary_key=True, autoincrement=False),
    sa.Column("name", text(128), primary_key=True),
    sa.Column("next_at", Timestamp, nullable=False),
    sa.Index("lanes_due", "topic_id", "next_at"),
)

claims = sa.Table(
    "claims",
    metadata,
    sa.Column("id", text(36), primary_key=True),
    sa.Column("topic_id", Number, nullable=False),
    sa.Column("ttl", sa.Integer, nullable=False),
    sa.Column("grace", sa.Integer, nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("expires_at", Timestamp, nullable=False),
    sa.Index("claims_expiry", "expires_at"),
)

post_keys = sa.Table(
    "post_keys",
    metadata,
    sa.Column("key", text(255), primary_key=True),
    sa.Column("used_at", Timestamp, nullable=False),
    sa.Index("post_keys_used_at", "used_at"),
)

deduplication = sa.Table(
    "deduplication",
    metadata,
    sa.Column("topic_id", Number, primary_key=True, autoincrement=False),
    sa.Column("dedup_id", text(128), primary_key=True),
    sa.Column("message_id", text(36), nullable=False),
    sa.Column("until", Timestamp, nullable=False),
    sa.Index("deduplication_until", "until"),
)


def of_topic() -> sa.ColumnElement[bool]:
    """That a message lies in the topic whose id is the parameter `topic`, as a mere check.

    The sign keeps SQLite, which knows nothing of how many messages a topic has, from walking
    through the whole topic instead of looking up the ids that are also given.
    """
    return sa.literal_column("+messages.topic_id", Number) == sa.bindparam("topic", type_=Number)


def topic_of(row: Any) -> Topic:
    """A row of `topics` as a value."""
    return Topic(
        key=TopicKey(row.project_id, row.name),
        metadata=msgspec.json.decode(row.metadata),
        created_at=row.created_at,
    )


def message_of(row: Any) -> Message:
    """A row of `messages` as a value."""
    return Message(
        id=row.id,
        body=bytes(row.body),
        ttl=row.ttl,
        client_id=row.client_id,
        created_at=row.created_at,
        expires_at=row.expires_at,
        visible_at=row.visible_at,
        state=State(row.state),
        claim_id=row.claim_id,
        claim_count=row.claim_count,
        group=row.message_group,
        attributes=None if row.attributes is None else bytes(row.attributes),
        source=row.source,
        priority=row.priority,
        position=row.seq,
    )


def message_row(message: Message, topic_id: int, lane: str | None) -> dict[str, Any]:
    """A message as a row, without the sequence number, which the database gives."""
    return {
        "id": message.id,
        "topic_id": topic_id,
        "state": int(message.state),
        "body": message.kept_body,
        "ttl": message.ttl,
        "client_id": message.client_id,
        "created_at": message.created_at,
        "expires_at": message.expires_at,
        "visible_at": message.visible_at,
        "claim_id": message.claim_id,
        "claim_count": message.claim_count,
        "message_group": message.group,
        "lane": lane,
        "attributes": message.attributes,
        "source": message.source,
        "priority": message.priority,
    }
