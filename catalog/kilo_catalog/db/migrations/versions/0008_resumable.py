"""Uploads in several requests: what is known of one between them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0008"
down_revision = "0007"


def _long_text() -> sa.types.TypeEngine[str]:
    binary = mysql.MEDIUMTEXT(charset="utf8mb4", collation="utf8mb4_bin")
    return (
        sa.Text()
        .with_variant(sa.Text(collation="C"), "postgresql")
        .with_variant(binary, "mysql", "mariadb")
    )


def upgrade() -> None:
    """Make the column. Uploads that are under way are of the other kind."""
    op.add_column("images", sa.Column("resumable", _long_text()))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("images", "resumable")
