"""Keeps a node's cache: fills in what is in line, writes down hits, takes away what is too much."""

import logging
from collections.abc import Mapping

from kilo_catalog.db.base import UnitOfWork
from kilo_catalog.db.base_cache import CacheEntry
from kilo_catalog.domain.image import Image, ImageStatus
from kilo_catalog.domain.locations import Ranking
from kilo_catalog.errors import ImageNotFound
from kilo_catalog.service.image_cache import ImageCache
from kilo_catalog.stores.base import BlobStore
from kilo_catalog.tasks.periodic import Periodic
from kilo_common.errors import KiloError

log = logging.getLogger(__name__)
INTERVAL = 60.0


class CacheKeeper:
    """Runs in each process that serves images. Several on one node do no harm."""

    def __init__(
        self,
        cache: ImageCache,
        unit_of_work: UnitOfWork,
        stores: Mapping[str, BlobStore],
        ranking: Ranking,
    ) -> None:
        self._cache = cache
        self._unit_of_work = unit_of_work
        self._stores = stores
        self._ranking = ranking
        self._periodic = Periodic("catalog-cache", INTERVAL, self.run_once)

    def start(self) -> None:
        """Begin to keep it."""
        self._periodic.start()

    def stop(self, timeout: float) -> None:
        """Finish the round in hand."""
        self._periodic.stop(timeout)
        self._cache.count_hits()

    def wake(self) -> None:
        """There is something in line."""
        self._periodic.wake()

    def run_once(self) -> None:
        """One round."""
        for entry in self._cache.entries():
            if entry.cached_at is None:
                self._fill(entry)
        self._cache.clean()
        self._cache.prune()

    def _fill(self, entry: CacheEntry) -> None:
        try:
            image = self._unit_of_work.read(lambda tx: tx.images.get(entry.image_id))
        except ImageNotFound:
            image = None
        if image is None or image.status is not ImageStatus.ACTIVE:
            self._cache.drop([entry])
            return
        self._copy(image)

    def _copy(self, image: Image) -> None:
        for location in self._ranking.sort(image.locations):
            store = self._stores.get(location.store)
            if store is None:
                continue
            try:
                self._cache.fill(image, location, store)
            except KiloError as fault:
                log.warning("image %s is not cached from %s: %s", image.id, location.store, fault)
            else:
                return
