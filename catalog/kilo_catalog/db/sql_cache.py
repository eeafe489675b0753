"""The image caches' records in an SQL database."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from kilo_catalog.db.base_cache import CacheEntry
from kilo_catalog.db.models import image_cache


class SqlCache:
    """The cached and the queued images, inside one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def put(self, entry: CacheEntry) -> None:
        values = {name: getattr(entry, name) for name in entry.__struct_fields__}
        changed = self._connection.execute(
            sa.update(image_cache).where(*_is(entry.node, entry.image_id)).values(values)
        )
        if changed.rowcount == 0 and self.find(entry.node, entry.image_id) is None:
            self._connection.execute(sa.insert(image_cache), values)

    def find(self, node: str, image_id: str) -> CacheEntry | None:
        row = self._connection.execute(sa.select(image_cache).where(*_is(node, image_id))).first()
        return None if row is None else _to_entry(row)

    def list_node(self, node: str) -> Sequence[CacheEntry]:
        statement = (
            sa.select(image_cache)
            .where(image_cache.c.node == node)
            .order_by(
                sa.func.coalesce(image_cache.c.accessed_at, image_cache.c.queued_at),
                image_cache.c.image_id,
            )
        )
        return [_to_entry(row) for row in self._connection.execute(statement)]

    def list_image(self, image_id: str) -> Sequence[CacheEntry]:
        statement = (
            sa.select(image_cache)
            .where(image_cache.c.image_id == image_id)
            .order_by(image_cache.c.node)
        )
        return [_to_entry(row) for row in self._connection.execute(statement)]

    def remove(self, node: str, image_id: str) -> None:
        self._connection.execute(sa.delete(image_cache).where(*_is(node, image_id)))


def _is(node: str, image_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (image_cache.c.node == node, image_cache.c.image_id == image_id)


def _to_entry(row: sa.Row[Any]) -> CacheEntry:
    return CacheEntry(**{name: getattr(row, name) for name in CacheEntry.__struct_fields__})
