"""The projects that images are shared with."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

_UTF8 = "utf8mb4"


def _text(length: int) -> sa.types.TypeEngine[str]:
    binary = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return (
        sa.String(length)
        .with_variant(sa.String(length, collation="C"), "postgresql")
        .with_variant(binary, "mysql", "mariadb")
    )


def upgrade() -> None:
    """Make the table of members."""
    op.create_table(
        "image_members",
        sa.Column("image_id", _text(36), sa.ForeignKey("images.id"), primary_key=True),
        sa.Column("project_id", _text(255), primary_key=True),
        sa.Column("status", _text(16), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("image_created_at", sa.BigInteger, nullable=False),
        mysql_charset=_UTF8,
        mariadb_charset=_UTF8,
    )
    op.create_index(
        "ix_image_members_shared",
        "image_members",
        ["project_id", "status", "image_created_at", "image_id"],
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("image_members")
