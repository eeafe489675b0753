"""The image caches' records in memory."""

from collections.abc import Sequence
from datetime import UTC, datetime

from kilo_catalog.db.base_cache import CacheEntry

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class MemoryCache:
    """The cached and the queued images, inside one transaction."""

    def __init__(self, rows: dict[tuple[str, str], CacheEntry]) -> None:
        self.rows = rows

    def put(self, entry: CacheEntry) -> None:
        self.rows[entry.node, entry.image_id] = entry

    def find(self, node: str, image_id: str) -> CacheEntry | None:
        return self.rows.get((node, image_id))

    def list_node(self, node: str) -> Sequence[CacheEntry]:
        found = [entry for entry in self.rows.values() if entry.node == node]
        return sorted(
            found,
            key=lambda entry: (
                entry.accessed_at or entry.queued_at or _LONG_AGO,
                entry.image_id,
            ),
        )

    def list_image(self, image_id: str) -> Sequence[CacheEntry]:
        found = [entry for entry in self.rows.values() if entry.image_id == image_id]
        return sorted(found, key=lambda entry: entry.node)

    def remove(self, node: str, image_id: str) -> None:
        self.rows.pop((node, image_id), None)
