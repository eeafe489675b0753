"""Opening the SQL store."""

import sqlalchemy as sa

from kilo_common.db.database import Database
from kilo_common.db.migrate import Schema
from kilo_messaging.storage.base import Stores
from kilo_messaging.storage.sql.claims import SqlClaims
from kilo_messaging.storage.sql.deliveries import SqlDeliveries
from kilo_messaging.storage.sql.messages import SqlMessages
from kilo_messaging.storage.sql.placements import SqlPlacements
from kilo_messaging.storage.sql.subscriptions import SqlSubscriptions
from kilo_messaging.storage.sql.tables import topics
from kilo_messaging.storage.sql.topics import SqlTopics

SCHEMA = Schema("kilo_messaging.storage.sql.migrations", "messaging_revision")


def open_sql_store(database: Database) -> Stores:
    """The store in `database`, whose schema must be up to date."""
    one = sa.select(topics.c.id).limit(1)

    def check() -> None:
        database.read(lambda connection: connection.execute(one).first())

    return Stores(
        topics=SqlTopics(database),
        messages=SqlMessages(database),
        claims=SqlClaims(database),
        check=check,
        close=database.close,
        subscriptions=SqlSubscriptions(database),
        deliveries=SqlDeliveries(database),
        placements=SqlPlacements(database),
    )
