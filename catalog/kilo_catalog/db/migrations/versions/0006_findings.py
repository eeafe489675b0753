"""What the data of images was found to be."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0004"


def _long_text() -> sa.types.TypeEngine[str]:
    binary = mysql.MEDIUMTEXT(charset="utf8mb4", collation="utf8mb4_bin")
    return (
        sa.Text()
        .with_variant(sa.Text(collation="C"), "postgresql")
        .with_variant(binary, "mysql", "mariadb")
    )


def upgrade() -> None:
    """Make the column. Images that are there have no findings until they are looked at again."""
    op.add_column("images", sa.Column("findings", _long_text()))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("images", "findings")
