"""Pools and placements in memory."""

import threading
from collections.abc import Sequence
from datetime import datetime

from msgspec import structs

from kilo_messaging.domain.pool import Flavor, Placement, Pool
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.storage.placement_base import RELEASED, PlacementStore, in_use


class MemoryPlacements(PlacementStore):
    """Pools and placements in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version = 0
        self._pools: dict[str, Pool] = {}
        self._flavors: dict[str, Flavor] = {}
        self._placements: dict[TopicKey, Placement] = {}

    def version(self) -> int:
        return self._version

    def pools(self) -> Sequence[Pool]:
        with self._lock:
            return [self._pools[name] for name in sorted(self._pools)]

    def put_pool(self, pool: Pool) -> bool:
        with self._lock:
            new = pool.name not in self._pools
            self._pools[pool.name] = pool
            self._version += 1
            return new

    def drop_pool(self, name: str, now: datetime) -> None:
        with self._lock:
            for placement in self._placements.values():
                if name in (placement.pool, placement.moving_to) and not _is_over(placement, now):
                    raise in_use(name)
            self._pools.pop(name, None)
            self._version += 1

    def flavors(self) -> Sequence[Flavor]:
        with self._lock:
            return [self._flavors[name] for name in sorted(self._flavors)]

    def put_flavor(self, flavor: Flavor) -> bool:
        with self._lock:
            new = flavor.name not in self._flavors
            self._flavors[flavor.name] = flavor
            self._version += 1
            return new

    def drop_flavor(self, name: str) -> None:
        with self._lock:
            self._flavors.pop(name, None)
            self._version += 1

    def find(self, key: TopicKey, now: datetime) -> Placement | None:
        with self._lock:
            found = self._placements.get(key)
            return None if found is None or _is_over(found, now) else found

    def place(self, key: TopicKey, pool: str, now: datetime) -> Placement:
        with self._lock:
            present = self._placements.get(key)
            if present is None or _is_over(present, now):
                present = Placement(pool=pool)
            self._placements[key] = structs.replace(present, released_at=None)
            return self._placements[key]

    def change(self, key: TopicKey, before: Placement, after: Placement) -> bool:
        with self._lock:
            if self._placements.get(key) != before:
                return False
            self._placements[key] = after
            self._version += 1
            return True

    def release(self, key: TopicKey, now: datetime) -> None:
        with self._lock:
            present = self._placements.get(key)
            if present is not None:
                self._placements[key] = structs.replace(present, released_at=now)


def _is_over(placement: Placement, now: datetime) -> bool:
    return placement.released_at is not None and placement.released_at + RELEASED <= now
