"""Removes the blobs that no image has any more.

A deletion is committed with the doomed blobs beside it, and only then are these removed. Whatever
interrupts that is made good later: the reaper comes back to every blob that is still remembered.
"""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from datetime import datetime

from kilo_catalog.db.base import Doomed, Transaction, UnitOfWork
from kilo_catalog.domain.image import Location
from kilo_catalog.stores.base import BlobStore
from kilo_common.clock import Clock
from kilo_common.errors import KiloError

log = logging.getLogger(__name__)
BATCH = 100


def doom(
    transaction: Transaction, locations: Sequence[Location], now: datetime
) -> Sequence[Doomed]:
    """Remember blobs to remove now; those that are not ours stay."""
    unique = dict.fromkeys(locations)
    doomed = [Doomed(each.store, each.key, now) for each in unique if each.ours]
    for each in doomed:
        transaction.doomed.add(each)
    return doomed


class BlobRemoval:
    """Removes doomed blobs from their stores."""

    def __init__(
        self,
        unit_of_work: UnitOfWork,
        stores: Mapping[str, BlobStore],
        executor: Executor,
        clock: Clock,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._stores = stores
        self._executor = executor
        self._clock = clock

    def remove_now(self, doomed: Sequence[Doomed]) -> None:
        """Remove those whose time has come; what fails is left to the reaper. Never raises."""
        now = self._clock.now()
        for each in doomed:
            if each.due_at <= now:
                try:
                    self._remove(each)
                except KiloError as fault:
                    log.warning(
                        "blob %s in store %s stays for now: %s", each.key, each.store, fault
                    )

    def remove_due(self) -> int:
        """Remove what is remembered and due; how many there were."""
        now = self._clock.now()
        due = self._unit_of_work.read(lambda tx: tx.doomed.list_due(now, BATCH))
        self.remove_now(due)
        return len(due)

    def _remove(self, doomed: Doomed) -> None:
        store = self._stores.get(doomed.store)
        if store is None:
            log.warning("blob %s is in store %s, not configured now", doomed.key, doomed.store)
            return
        self._executor.submit(store.delete, doomed.key).result()
        self._unit_of_work.write(lambda tx: tx.doomed.remove(doomed.store, doomed.key))
