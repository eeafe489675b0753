"""Pools, flavors, and where topics lie."""

import sqlalchemy as sa
from alembic import op

from kilo_common.db.types import Timestamp
from kilo_messaging.storage.sql.tables import text

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables; there are no pools yet, and all topics lie in the main store."""
    for name in ("pools", "flavors"):
        op.create_table(
            name,
            sa.Column("name", text(64), primary_key=True),
            sa.Column("document", sa.LargeBinary(2**16), nullable=False),
        )
    op.create_table(
        "placements",
        sa.Column("project_id", text(256), primary_key=True),
        sa.Column("name", text(64), primary_key=True),
        sa.Column("pool", text(64), nullable=False),
        sa.Column("moving_to", text(64)),
        sa.Column("moving_until", Timestamp),
        sa.Column("released_at", Timestamp),
    )
    op.create_index("placements_pool", "placements", ["pool"])
    op.create_table(
        "pool_version",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Remove the tables: what lies on pools is not found any more."""
    for name in ("pool_version", "placements", "flavors", "pools"):
        op.drop_table(name)
