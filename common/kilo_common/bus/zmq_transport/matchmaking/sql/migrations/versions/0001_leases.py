"""The leases of nodes.

Rows are found by digests: the texts may be long, and some databases compare them without case.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "zmq_leases",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("place_digest", sa.String(64), nullable=False, index=True),
        sa.Column("node", sa.String(64), nullable=False, index=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("group_name", sa.Text, nullable=False),
        sa.Column("endpoint", sa.String(300), nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False, index=True),
        mysql_charset="utf8mb4",
        mariadb_charset="utf8mb4",
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("zmq_leases")
