"""The interface to the records of each node's image cache."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct


class CacheEntry(Struct, frozen=True, kw_only=True):
    """One image in one node's cache, or in line for it."""

    node: str
    image_id: str
    queued_at: datetime | None = None
    """In line since then; None once it is there."""
    size: int = 0
    blob: str = ""
    """Its key in the node's folder; empty as long as it is in line."""
    hits: int = 0
    cached_at: datetime | None = None
    accessed_at: datetime | None = None


class CacheRepository(Protocol):
    """The cached and the queued images of all nodes, inside one transaction."""

    def put(self, entry: CacheEntry) -> None:
        """Keep an entry in place of the one its node has for the image, if any."""
        ...

    def find(self, node: str, image_id: str) -> CacheEntry | None:
        """The entry, or None."""
        ...

    def list_node(self, node: str) -> Sequence[CacheEntry]:
        """All entries of a node, the one used longest ago first, those in line by their age."""
        ...

    def list_image(self, image_id: str) -> Sequence[CacheEntry]:
        """The entries of an image on all nodes."""
        ...

    def remove(self, node: str, image_id: str) -> None:
        """Forget an entry. Twice is harmless."""
        ...
