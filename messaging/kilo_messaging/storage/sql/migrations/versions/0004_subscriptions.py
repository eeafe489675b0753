"""Subscriptions, what is on its way to subscribers, and the log of attempts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LONG = 2**24 - 1


def text(length: int) -> sa.types.TypeEngine[str]:
    """Text that compares by its bytes on every database."""
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return (
        sa.String(length)
        .with_variant(exact, "mysql", "mariadb")
        .with_variant(sa.String(length, collation="C"), "postgresql")
    )


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "subscriptions",
        sa.Column("id", text(36), primary_key=True),
        sa.Column("topic_id", NUMBER, nullable=False),
        sa.Column("subscriber_hash", text(64), nullable=False),
        sa.Column("state", text(16), nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("document", sa.LargeBinary(LONG), nullable=False),
        sa.UniqueConstraint("topic_id", "subscriber_hash", name="subscriptions_subscriber"),
    )
    op.create_index("subscriptions_expiry", "subscriptions", ["expires_at"])
    op.create_table(
        "notices",
        sa.Column("message_id", text(36), primary_key=True),
        sa.Column("body", sa.LargeBinary(LONG), nullable=False),
        sa.Column("ttl", sa.Integer, nullable=False),
        sa.Column("message_group", text(128)),
        sa.Column("attributes", sa.LargeBinary(LONG)),
        sa.Column("posted_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("visible_at", sa.BigInteger, nullable=False),
    )
    op.create_index("notices_expiry", "notices", ["expires_at"])
    _create_deliveries()
    op.create_table(
        "attempts",
        sa.Column("seq", NUMBER, primary_key=True),
        sa.Column("subscription_id", text(36), nullable=False),
        sa.Column("delivery", NUMBER, nullable=False),
        sa.Column("message_id", text(36), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("milliseconds", sa.Integer, nullable=False),
        sa.Column("result", text(16), nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("detail", text(1024), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("attempts_log", "attempts", ["subscription_id", "seq"])
    op.create_index("attempts_age", "attempts", ["at"])


def downgrade() -> None:
    """Remove them with what they hold."""
    for table in ("attempts", "deliveries", "notices", "subscriptions"):
        op.drop_table(table)


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("seq", NUMBER, primary_key=True),
        sa.Column("subscription_id", text(36), nullable=False),
        sa.Column("message_id", text(36), nullable=False),
        sa.Column("lane", text(128)),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("reason", text(500)),
        sqlite_autoincrement=True,
    )
    op.create_index("deliveries_due", "deliveries", ["subscription_id", "state", "due_at", "seq"])
    op.create_index("deliveries_message", "deliveries", ["message_id"])
    op.create_index(
        "deliveries_lane",
        "deliveries",
        ["subscription_id", "lane", "seq"],
        sqlite_where=sa.text("lane IS NOT NULL"),
        postgresql_where=sa.text("lane IS NOT NULL"),
    )
