"""The tables of pools, flavors and placements."""

import sqlalchemy as sa

from kilo_common.db.types import Timestamp
from kilo_messaging.storage.sql.tables import metadata, text

pools = sa.Table(
    "pools",
    metadata,
    sa.Column("name", text(64), primary_key=True),
    sa.Column("document", sa.LargeBinary(2**16), nullable=False),
)

flavors = sa.Table(
    "flavors",
    metadata,
    sa.Column("name", text(64), primary_key=True),
    sa.Column("document", sa.LargeBinary(2**16), nullable=False),
)

placements = sa.Table(
    "placements",
    metadata,
    sa.Column("project_id", text(256), primary_key=True),
    sa.Column("name", text(64), primary_key=True),
    sa.Column("pool", text(64), nullable=False),
    sa.Column("moving_to", text(64)),
    sa.Column("moving_until", Timestamp),
    sa.Column("released_at", Timestamp),
    sa.Index("placements_pool", "pool"),
)

pool_version = sa.Table(
    "pool_version",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.BigInteger, nullable=False),
)
"""One row, with `PlacementStore.version`."""
