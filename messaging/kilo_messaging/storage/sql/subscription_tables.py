"""The tables of subscriptions and deliveries, and rows as domain values.

A notice is a copy of a posted message, kept once however many subscribers it has; it and its
deliveries outlive the message's removal from its topic. How deliveries are found quickly:

- `deliveries_due` (subscription, state, due_at, seq) tells of each subscription when its next
  delivery is due, and leads to it, however many wait behind.
- `deliveries_lane` (subscription, lane, seq) leads to the first of a lane. What waits behind the
  first is made due no earlier than it, so that a lane that waits costs one look.
"""

import hashlib
from typing import Any

import msgspec
import sqlalchemy as sa

from kilo_common.db.types import Timestamp
from kilo_messaging.domain.delivery import Attempt, Delivery, Notice, Result, notice_of
from kilo_messaging.domain.message import Message
from kilo_messaging.domain.subscription import Subscription
from kilo_messaging.storage.sql.tables import MAX_BODY, Number, metadata, text

PENDING, FAILED = 0, 1

subscriptions = sa.Table(
    "subscriptions",
    metadata,
    sa.Column("id", text(36), primary_key=True),
    sa.Column("topic_id", Number, nullable=False),
    sa.Column("subscriber_hash", text(64), nullable=False),
    sa.Column("state", text(16), nullable=False),
    sa.Column("expires_at", Timestamp, nullable=False),
    sa.Column("document", sa.LargeBinary(MAX_BODY), nullable=False),
    sa.UniqueConstraint("topic_id", "subscriber_hash", name="subscriptions_subscriber"),
    sa.Index("subscriptions_expiry", "expires_at"),
)

notices = sa.Table(
    "notices",
    metadata,
    sa.Column("message_id", text(36), primary_key=True),
    sa.Column("body", sa.LargeBinary(MAX_BODY), nullable=False),
    sa.Column("ttl", sa.Integer, nullable=False),
    sa.Column("message_group", text(128)),
    sa.Column("attributes", sa.LargeBinary(MAX_BODY)),
    sa.Column("posted_at", Timestamp, nullable=False),
    sa.Column("expires_at", Timestamp, nullable=False),
    sa.Column("visible_at", Timestamp, nullable=False),
    sa.Index("notices_expiry", "expires_at"),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("seq", Number, primary_key=True),
    sa.Column("subscription_id", text(36), nullable=False),
    sa.Column("message_id", text(36), nullable=False),
    sa.Column("lane", text(128)),
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("due_at", Timestamp, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("reason", text(500)),
    sa.Index("deliveries_due", "subscription_id", "state", "due_at", "seq"),
    sa.Index("deliveries_message", "message_id"),
    sqlite_autoincrement=True,
)
sa.Index(
    "deliveries_lane",
    deliveries.c.subscription_id,
    deliveries.c.lane,
    deliveries.c.seq,
    sqlite_where=deliveries.c.lane.is_not(None),
    postgresql_where=deliveries.c.lane.is_not(None),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("seq", Number, primary_key=True),
    sa.Column("subscription_id", text(36), nullable=False),
    sa.Column("delivery", Number, nullable=False),
    sa.Column("message_id", text(36), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("at", Timestamp, nullable=False),
    sa.Column("milliseconds", sa.Integer, nullable=False),
    sa.Column("result", text(16), nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("detail", text(1024), nullable=False),
    sa.Index("attempts_log", "subscription_id", "seq"),
    sa.Index("attempts_age", "at"),
    sqlite_autoincrement=True,
)


def hash_of(subscriber: str) -> str:
    """What a subscriber's URI is compared by; the URI itself may be too long for an index."""
    return hashlib.sha256(subscriber.encode()).hexdigest()


def subscription_of(row: Any) -> Subscription:
    """A row of `subscriptions` as a value."""
    return msgspec.json.decode(row.document, type=Subscription)


def subscription_row(subscription: Subscription, topic_id: int) -> dict[str, Any]:
    """A subscription as a row."""
    return {
        "id": subscription.id,
        "topic_id": topic_id,
        "subscriber_hash": hash_of(subscription.subscriber),
        "state": subscription.state.value,
        "expires_at": subscription.expires_at,
        "document": msgspec.json.encode(subscription),
    }


def notice_row(message: Message) -> dict[str, Any]:
    """A posted message as a row of `notices`."""
    return notice_as_row(notice_of(message))


def notice_as_row(notice: Notice) -> dict[str, Any]:
    """What is delivered as a row of `notices`."""
    return {
        "message_id": notice.message_id,
        "body": notice.body,
        "ttl": notice.ttl,
        "message_group": notice.group,
        "attributes": notice.attributes,
        "posted_at": notice.posted_at,
        "expires_at": notice.expires_at,
        "visible_at": notice.visible_at,
    }


def delivery_of(row: Any) -> Delivery:
    """A row of `deliveries` joined with its notice as a value."""
    return Delivery(
        position=row.seq,
        subscription_id=row.subscription_id,
        notice=Notice(
            message_id=row.message_id,
            body=bytes(row.body),
            ttl=row.ttl,
            group=row.message_group,
            attributes=None if row.attributes is None else bytes(row.attributes),
            posted_at=row.posted_at,
            expires_at=row.expires_at,
            visible_at=row.visible_at,
        ),
        attempts=row.attempts,
        due_at=row.due_at,
        failed=row.state == FAILED,
        reason=row.reason,
    )


def attempt_of(row: Any) -> Attempt:
    """A row of `attempts` as a value."""
    return Attempt(
        delivery=row.delivery,
        message_id=row.message_id,
        number=row.number,
        at=row.at,
        milliseconds=row.milliseconds,
        result=Result(row.result),
        status=row.status,
        detail=row.detail,
        position=row.seq,
    )
