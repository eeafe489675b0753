"""Pools and placements in SQL."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from kilo_common.db.database import ConstraintViolated, Database
from kilo_messaging.domain.pool import Flavor, Placement, Pool
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.storage.placement_base import RELEASED, PlacementStore, in_use
from kilo_messaging.storage.sql.placement_tables import flavors, placements, pool_version, pools

T = TypeVar("T")
_p = placements.c


class SqlPlacements(PlacementStore):
    """Pools and placements in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def version(self) -> int:
        query = sa.select(pool_version.c.version)
        return int(self._database.read(lambda connection: connection.scalar(query)) or 0)

    def pools(self) -> Sequence[Pool]:
        query = sa.select(pools.c.document).order_by(pools.c.name)
        found = self._database.read(lambda connection: connection.execute(query).scalars().all())
        return [msgspec.json.decode(each, type=Pool) for each in found]

    def put_pool(self, pool: Pool) -> bool:
        return self._put(pools, pool.name, msgspec.json.encode(pool))

    def drop_pool(self, name: str, now: datetime) -> None:
        kept = sa.or_(_p.released_at.is_(None), _p.released_at > now - RELEASED)
        query = (
            sa.select(_p.name).where(sa.or_(_p.pool == name, _p.moving_to == name), kept).limit(1)
        )

        def work(connection: sa.Connection) -> None:
            if connection.execute(query).first() is not None:
                raise in_use(name)
            connection.execute(pools.delete().where(pools.c.name == name))
            _grow(connection)

        self._database.write(work)

    def flavors(self) -> Sequence[Flavor]:
        query = sa.select(flavors.c.document).order_by(flavors.c.name)
        found = self._database.read(lambda connection: connection.execute(query).scalars().all())
        return [msgspec.json.decode(each, type=Flavor) for each in found]

    def put_flavor(self, flavor: Flavor) -> bool:
        return self._put(flavors, flavor.name, msgspec.json.encode(flavor))

    def drop_flavor(self, name: str) -> None:
        def work(connection: sa.Connection) -> None:
            connection.execute(flavors.delete().where(flavors.c.name == name))
            _grow(connection)

        self._database.write(work)

    def find(self, key: TopicKey, now: datetime) -> Placement | None:
        row = self._database.read(lambda connection: connection.execute(_of(key)).first())
        return None if row is None or _is_over(row, now) else _placement_of(row)

    def place(self, key: TopicKey, pool: str, now: datetime) -> Placement:
        def work(connection: sa.Connection) -> Placement:
            row = connection.execute(_of(key).with_for_update()).first()
            if row is None:
                connection.execute(placements.insert(), {**_names(key), "pool": pool})
                return Placement(pool=pool)
            placed = Placement(pool=pool) if _is_over(row, now) else _placement_of(row)
            kept = msgspec.structs.replace(placed, released_at=None)
            if kept != _placement_of(row):
                connection.execute(_update(key).values(_values(kept)))
            return kept

        return _again(lambda: self._database.write(work))

    def change(self, key: TopicKey, before: Placement, after: Placement) -> bool:
        def work(connection: sa.Connection) -> bool:
            row = connection.execute(_of(key).with_for_update()).first()
            if row is None or _placement_of(row) != before:
                return False
            connection.execute(_update(key).values(_values(after)))
            _grow(connection)
            return True

        return _again(lambda: self._database.write(work))

    def release(self, key: TopicKey, now: datetime) -> None:
        change = _update(key).values(released_at=now)
        over = placements.delete().where(_p.released_at <= now - RELEASED)

        def work(connection: sa.Connection) -> None:
            connection.execute(over)
            connection.execute(change)

        self._database.write(work)

    def _put(self, table: sa.Table, name: str, document: bytes) -> bool:
        def work(connection: sa.Connection) -> bool:
            same = table.c.name == name
            found = connection.execute(table.update().where(same).values(document=document))
            if not found.rowcount:
                connection.execute(table.insert(), {"name": name, "document": document})
            _grow(connection)
            return not found.rowcount

        return _again(lambda: self._database.write(work))


def _grow(connection: sa.Connection) -> None:
    """What others remember is old."""
    one = pool_version.update().values(version=pool_version.c.version + 1)
    if not connection.execute(one).rowcount:
        connection.execute(pool_version.insert(), {"id": 1, "version": 1})


def _of(key: TopicKey) -> sa.Select[Any]:
    return sa.select(placements).where(_p.project_id == key.project_id, _p.name == key.name)


def _update(key: TopicKey) -> sa.Update:
    return placements.update().where(_p.project_id == key.project_id, _p.name == key.name)


def _names(key: TopicKey) -> dict[str, Any]:
    return {"project_id": key.project_id, "name": key.name}


def _values(placement: Placement) -> dict[str, Any]:
    return msgspec.structs.asdict(placement)


def _placement_of(row: Any) -> Placement:
    return Placement(
        pool=row.pool,
        moving_to=row.moving_to,
        moving_until=row.moving_until,
        released_at=row.released_at,
    )


def _is_over(row: Any, now: datetime) -> bool:
    return row.released_at is not None and row.released_at + RELEASED <= now


def _again(write: Callable[[], T]) -> T:
    """Run `write`; once more if another process added the same meanwhile."""
    try:
        return write()
    except ConstraintViolated:
        return write()
