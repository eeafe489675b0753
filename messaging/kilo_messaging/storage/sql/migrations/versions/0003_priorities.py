"""Priorities."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and its index; messages that are there have no priority."""
    op.add_column(
        "messages", sa.Column("priority", sa.SmallInteger, nullable=False, server_default="0")
    )
    op.create_index(
        "messages_priority",
        "messages",
        ["topic_id", "state", sa.text("priority DESC"), "seq"],
        sqlite_where=sa.text("priority > 0"),
        postgresql_where=sa.text("priority > 0"),
    )


def downgrade() -> None:
    """Remove both; every message has the same priority again."""
    op.drop_index("messages_priority", "messages")
    op.drop_column("messages", "priority")
