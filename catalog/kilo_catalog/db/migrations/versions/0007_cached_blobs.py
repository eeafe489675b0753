"""Entries of image caches name the blob they keep, and their node by its URL."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
_UTF8 = "utf8mb4"


def _text(length: int) -> sa.types.TypeEngine[str]:
    binary = sa.String(length, collation="utf8mb4_bin")
    return (
        sa.String(length)
        .with_variant(sa.String(length, collation="C"), "postgresql")
        .with_variant(binary, "mysql", "mariadb")
    )


def upgrade() -> None:
    """Make the table anew: a cache that is not known of is filled again."""
    op.drop_table("image_cache")
    _create(255, sa.Column("blob", _text(128), nullable=False))


def downgrade() -> None:
    """Make it as it was, empty."""
    op.drop_table("image_cache")
    _create(64)


def _create(node: int, *more: sa.Column[str]) -> None:
    op.create_table(
        "image_cache",
        sa.Column("node", _text(node), primary_key=True),
        sa.Column("image_id", _text(36), primary_key=True),
        sa.Column("queued_at", sa.BigInteger),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("hits", sa.BigInteger, nullable=False),
        sa.Column("cached_at", sa.BigInteger),
        sa.Column("accessed_at", sa.BigInteger),
        *more,
        mysql_charset=_UTF8,
        mariadb_charset=_UTF8,
    )
    op.create_index("ix_image_cache_image", "image_cache", ["image_id"])
