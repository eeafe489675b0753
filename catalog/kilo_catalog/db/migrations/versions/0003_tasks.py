"""Tasks, what images know of their import, and the image caches."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"

_UTF8 = "utf8mb4"


def _text(length: int) -> sa.types.TypeEngine[str]:
    binary = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return (
        sa.String(length)
        .with_variant(sa.String(length, collation="C"), "postgresql")
        .with_variant(binary, "mysql", "mariadb")
    )


def _long_text() -> sa.types.TypeEngine[str]:
    binary = mysql.MEDIUMTEXT(charset="utf8mb4", collation="utf8mb4_bin")
    return (
        sa.Text()
        .with_variant(sa.Text(collation="C"), "postgresql")
        .with_variant(binary, "mysql", "mariadb")
    )


def upgrade() -> None:
    """Make the tables of tasks and caches; give images their columns."""
    op.add_column("images", sa.Column("staged", _long_text()))
    op.add_column("images", sa.Column("imports", _long_text()))
    op.create_table(
        "tasks",
        sa.Column("id", _text(36), primary_key=True),
        sa.Column("type", _text(64), nullable=False),
        sa.Column("status", _text(16), nullable=False),
        sa.Column("owner", _text(255)),
        sa.Column("image_id", _text(36)),
        sa.Column("request_id", _text(64)),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("holder", _text(64)),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("rest", _long_text(), nullable=False),
        mysql_charset=_UTF8,
        mariadb_charset=_UTF8,
    )
    op.create_index("ix_tasks_status", "tasks", ["status", "created_at", "id"])
    op.create_index("ix_tasks_newest", "tasks", ["created_at", "id"])
    op.create_index("ix_tasks_image", "tasks", ["image_id", "created_at", "id"])
    op.create_index("ix_tasks_expiry", "tasks", ["expires_at"])
    op.create_table(
        "image_cache",
        sa.Column("node", _text(64), primary_key=True),
        sa.Column("image_id", _text(36), primary_key=True),
        sa.Column("queued_at", sa.BigInteger),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("hits", sa.BigInteger, nullable=False),
        sa.Column("cached_at", sa.BigInteger),
        sa.Column("accessed_at", sa.BigInteger),
        mysql_charset=_UTF8,
        mariadb_charset=_UTF8,
    )
    op.create_index("ix_image_cache_image", "image_cache", ["image_id"])


def downgrade() -> None:
    """Drop them. Images whose data was staged or being imported have none any more."""
    names = ("status", "size", "upload_id", "upload_store", "lease_until")
    images = sa.table("images", *(sa.column(name) for name in names))
    op.execute(
        sa.update(images)
        .where(images.c.status.in_(["uploading", "importing"]))
        .values(status="queued", size=None, upload_id=None, upload_store=None, lease_until=None)
    )
    op.drop_table("image_cache")
    op.drop_table("tasks")
    op.drop_column("images", "imports")
    op.drop_column("images", "staged")
