"""Order, attributes, deduplication, and where a dead letter came from."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def text(length: int) -> sa.types.TypeEngine[str]:
    """Text that compares by its bytes on every database."""
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return (
        sa.String(length)
        .with_variant(exact, "mysql", "mariadb")
        .with_variant(sa.String(length, collation="C"), "postgresql")
    )


def upgrade() -> None:
    """Add the columns and tables; messages that are there have none of it."""
    op.add_column("messages", sa.Column("message_group", text(128)))
    op.add_column("messages", sa.Column("lane", text(128)))
    op.add_column("messages", sa.Column("attributes", sa.LargeBinary(2**24 - 1)))
    op.add_column("messages", sa.Column("source", text(64)))
    op.create_index(
        "messages_lane",
        "messages",
        ["topic_id", "lane", "seq", "expires_at"],
        sqlite_where=sa.text("lane IS NOT NULL"),
        postgresql_where=sa.text("lane IS NOT NULL"),
    )
    op.create_table(
        "lanes",
        sa.Column("topic_id", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("name", text(128), primary_key=True),
        sa.Column("next_at", sa.BigInteger, nullable=False),
    )
    op.create_index("lanes_due", "lanes", ["topic_id", "next_at"])
    op.create_table(
        "deduplication",
        sa.Column("topic_id", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("dedup_id", text(128), primary_key=True),
        sa.Column("message_id", text(36), nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
    )
    op.create_index("deduplication_until", "deduplication", ["until"])


def downgrade() -> None:
    """Remove them with what they hold; messages lose their place in an order."""
    op.drop_table("deduplication")
    op.drop_table("lanes")
    op.drop_index("messages_lane", "messages")
    for name in ("source", "attributes", "lane", "message_group"):
        op.drop_column("messages", name)
