"""Topics, messages and claims."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BODY = sa.LargeBinary(2**24 - 1)
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
    """Make the tables."""
    op.create_table(
        "topics",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("project_id", text(256), nullable=False),
        sa.Column("name", text(64), nullable=False),
        sa.Column("metadata", BODY, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("project_id", "name", name="topics_key"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "deleted_topics",
        sa.Column("topic_id", NUMBER, primary_key=True, autoincrement=False),
    )
    op.create_table(
        "claims",
        sa.Column("id", text(36), primary_key=True),
        sa.Column("topic_id", NUMBER, nullable=False),
        sa.Column("ttl", sa.Integer, nullable=False),
        sa.Column("grace", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.create_index("claims_expiry", "claims", ["expires_at"])
    op.create_table(
        "post_keys",
        sa.Column("key", text(255), primary_key=True),
        sa.Column("used_at", sa.BigInteger, nullable=False),
    )
    op.create_index("post_keys_used_at", "post_keys", ["used_at"])
    _create_messages()


def _create_messages() -> None:
    op.create_table(
        "messages",
        sa.Column("seq", NUMBER, primary_key=True),
        sa.Column("id", text(36), nullable=False),
        sa.Column("topic_id", NUMBER, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("body", BODY, nullable=False),
        sa.Column("ttl", sa.Integer, nullable=False),
        sa.Column("client_id", text(36), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("visible_at", sa.BigInteger, nullable=False),
        sa.Column("claim_id", text(36)),
        sa.Column("claim_count", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("messages_id", "messages", ["id"], unique=True)
    op.create_index("messages_ready", "messages", ["topic_id", "state", "seq", "expires_at"])
    op.create_index("messages_expiry", "messages", ["expires_at"])
    op.create_index(
        "messages_due",
        "messages",
        ["topic_id", "state", "visible_at"],
        sqlite_where=sa.text("state > 0"),
        postgresql_where=sa.text("state > 0"),
    )
    op.create_index(
        "messages_claim",
        "messages",
        ["claim_id"],
        sqlite_where=sa.text("claim_id IS NOT NULL"),
        postgresql_where=sa.text("claim_id IS NOT NULL"),
    )


def downgrade() -> None:
    """Remove the tables with all that is in them."""
    for name in ("messages", "post_keys", "claims", "deleted_topics", "topics"):
        op.drop_table(name)
