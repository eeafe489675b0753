"""The reaper: makes good what dead processes and failed removals have left behind."""

import logging
from collections.abc import Mapping
from concurrent.futures import Executor
from datetime import timedelta

from kilo_catalog.service.blob_removal import BlobRemoval
from kilo_catalog.service.upload_claims import UploadClaims
from kilo_catalog.stores.base import BlobStore
from kilo_catalog.tasks.periodic import Periodic
from kilo_common.clock import Clock
from kilo_common.errors import KiloError

log = logging.getLogger(__name__)


class Reaper:
    """Runs at the start and from time to time. Several at once do no harm."""

    def __init__(
        self,
        claims: UploadClaims,
        removal: BlobRemoval,
        stores: Mapping[str, BlobStore],
        executor: Executor,
        clock: Clock,
        *,
        interval: float,
        stale_after: float,
    ) -> None:
        self._claims = claims
        self._removal = removal
        self._stores = stores
        self._executor = executor
        self._clock = clock
        self._stale_after = timedelta(seconds=stale_after)
        self._periodic = Periodic("catalog-reaper", interval, self.run_once)

    def start(self) -> None:
        """Begin to reap."""
        self._periodic.start()

    def stop(self, timeout: float) -> None:
        """Finish the round in hand."""
        self._periodic.stop(timeout)

    def run_once(self) -> None:
        """One round: uploads whose process died, blobs nobody has, files nobody finishes."""
        ended = self._claims.end_expired()
        if ended:
            log.warning("%d uploads of processes that died were given up", ended)
        self._removal.remove_due()
        for name, store in self._stores.items():
            try:
                self._executor.submit(self._remove_stale, name, store).result()
            except KiloError as fault:
                log.warning("store %s cannot be tidied up now: %s", name, fault)

    def _remove_stale(self, name: str, store: BlobStore) -> None:
        stale = self._clock.now() - self._stale_after
        for each in store.unfinished():
            if each.touched_at < stale and store.delete(each.key):
                log.warning("the unfinished blob %s in store %s was removed", each.key, name)
