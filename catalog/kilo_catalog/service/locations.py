"""The operations on the copies of an image's data."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from kilo_catalog.db.base import Doomed, Transaction, UnitOfWork
from kilo_catalog.domain.locations import leave_store
from kilo_catalog.errors import StoreNotFound
from kilo_catalog.service.access import Access
from kilo_catalog.service.blob_removal import BlobRemoval, doom
from kilo_catalog.service.events import EventRecorder
from kilo_catalog.stores.base import BlobStore
from kilo_common.clock import Clock
from kilo_common.context import RequestContext
from kilo_common.errors import KiloError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Locations:
    """Remove copies, and say what stores hold."""

    unit_of_work: UnitOfWork
    access: Access
    events: EventRecorder
    removal: BlobRemoval
    stores: Mapping[str, BlobStore]
    executor: Executor
    clock: Clock

    def leave_store(self, context: RequestContext, store: str, image_id: str) -> None:
        """Remove the image's data from one of the stores that have it.

        Raises:
            ImageNotFound, PolicyForbids: see `Access.find`.
            StoreNotFound, LocationNotFound: there is no such store, or no data in it.
            StatusConflict: the image has no data yet, or is being imported.
            StatusForbids: no other store has it.
        """
        now = self.clock.now()

        def work(transaction: Transaction) -> Sequence[Doomed]:
            image = self.access.find(transaction, context, image_id, "delete_image_location")
            if store not in self.stores:
                raise StoreNotFound(
                    f"There is no store {store[:64]!r}; stores are: {', '.join(self.stores)}",
                    store=store[:64],
                )
            left, gone = leave_store(image, store, now)
            kept = transaction.images.update(left)
            self.events.record(transaction, context, "image.update", kept)
            return doom(transaction, gone, now)

        self.removal.remove_now(self.unit_of_work.write(work))

    def usage(self, store: str) -> dict[str, int | None] | None:
        """What a store holds, in bytes and blobs; None if it does not say."""
        try:
            found = self.executor.submit(self.stores[store].usage).result()
        except KiloError as fault:
            log.warning("store %s does not say what it holds: %s", store, fault)
            return None
        return {
            "blobs": found.blobs,
            "size": found.size,
            "stored": found.stored,
            "free": found.free,
        }
