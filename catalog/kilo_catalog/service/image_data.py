"""The operations on image data: upload and download."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import BinaryIO

from msgspec import structs

from kilo_catalog.db.base import Transaction, UnitOfWork
from kilo_catalog.domain.image import DataFacts, Image, ImageStatus, fill
from kilo_catalog.domain.locations import Ranking
from kilo_catalog.domain.task import Task
from kilo_catalog.errors import ImageDeactivated, ImageNotFound
from kilo_catalog.service.access import Access, target
from kilo_catalog.service.conversions import Conversions
from kilo_catalog.service.events import EventRecorder
from kilo_catalog.service.image_cache import ImageCache
from kilo_catalog.service.intake import Blocks, Declared, Intake, formats_of
from kilo_catalog.service.introspection import publish
from kilo_catalog.service.quotas import ProjectQuotas, Room
from kilo_catalog.service.upload_claims import Upload, UploadClaims
from kilo_catalog.stores.base import BlobReader, BlobStore, Capability
from kilo_common.clock import Clock
from kilo_common.context import RequestContext
from kilo_common.errors import KiloError
from kilo_common.ids import IdSource

log = logging.getLogger(__name__)


_WITH_DATA = frozenset({ImageStatus.ACTIVE, ImageStatus.DEACTIVATED, ImageStatus.PENDING_DELETE})


@dataclass(frozen=True)
class ImageData:
    """Upload and download."""

    unit_of_work: UnitOfWork
    access: Access
    events: EventRecorder
    claims: UploadClaims
    intake: Intake
    stores: Mapping[str, BlobStore]
    default_store: str
    executor: Executor
    clock: Clock
    new_id: IdSource
    quotas: ProjectQuotas
    ranking: Ranking
    conversions: Conversions
    cache: ImageCache | None = None

    def upload(
        self, context: RequestContext, image_id: str, blocks: Blocks, declared: Declared
    ) -> Image:
        """Fill a queued image with the bytes in `blocks`.

        Whatever breaks it leaves nothing behind: no blob, and the image `queued` as before.

        Raises:
            ImageNotFound, PolicyForbids: see `Access.find`.
            StoreUnknown, FormatsMissing, StatusConflict: nothing was read.
            UploadMismatch, FormatRefused, ImageTooLarge: the data is refused.
            QuotaExceeded: the project has no room for it.
            BodyTruncated: the client went away.
            UploadLost: the image went on without this upload.
            StoreFull, StoreUnavailable: the data could not be kept.
        """
        upload, room = self._begin(context, image_id, declared)

        def finish(facts: DataFacts) -> Image:
            return self.finish(context, upload, facts)

        return self.intake.run(upload, room, blocks, declared, finish)

    def open(self, context: RequestContext, image_id: str) -> Image:
        """The image, if the caller may read its data; without locations, it has none yet.

        Raises:
            ImageNotFound, PolicyForbids: see `Access.find`.
            ImageDeactivated: only administrators may read it.
        """
        image = self.unit_of_work.read(
            lambda tx: self.access.find(tx, context, image_id, "download_image")
        )
        if image.status is ImageStatus.DEACTIVATED and not self.access.policy.allows(
            context, "download_deactivated_image", target(image)
        ):
            raise ImageDeactivated(
                f"The requested image {image_id} has been deactivated. Image data download is "
                "forbidden.",
                image_id=image_id,
            )
        if image.status not in _WITH_DATA:
            # An import that goes to several stores has copies before it is done.
            return structs.replace(image, locations=())
        return image

    def file(self, image: Image, prefer: Sequence[str] = ()) -> BinaryIO | None:
        """The file of the copy that is read first, or of one that is cached, if there is one on
        this machine."""
        ranked = self.ranking.sort(image.locations, prefer)
        store = self.stores.get(ranked[0].store) if ranked else None
        if store is None or Capability.LOCAL_FILES not in store.capabilities:
            return None if self.cache is None else self.cache.open(image)
        return self.executor.submit(_open_file, store, ranked[0].key).result()

    def read(
        self, image: Image, offset: int, length: int, prefer: Sequence[str] = ()
    ) -> BlobReader:
        """A range of the image's data, from the first of its copies that can be read; those in the
        stores that the caller prefers are tried first.

        Raises:
            StoreUnavailable: no copy can be read.
        """
        fault: Exception = ImageNotFound(image.id)
        for location in self.ranking.sort(image.locations, prefer):
            store = self.stores.get(location.store)
            if store is None:
                continue
            try:
                reader = self.executor.submit(store.open, location.key, offset, length).result()
                if self.cache is None or (offset, length) != (0, image.size):
                    return reader
                return self.cache.through(image, location, reader)
            except KiloError as failed:
                log.warning("image %s cannot be read from %s: %s", image.id, location.store, failed)
                fault = failed
        raise fault

    def read_block(self, reader: BlobReader, size: int) -> bytes:
        """The next bytes of a reader, off the caller's thread."""
        return self.executor.submit(reader.read, size).result()

    def _begin(
        self, context: RequestContext, image_id: str, declared: Declared
    ) -> tuple[Upload, Room]:
        store = declared.store or self.default_store
        made = self.claims.new_claim(self.new_id(), store)

        def work(transaction: Transaction) -> tuple[Upload, Room]:
            image = self.access.find(transaction, context, image_id, "upload_image")
            self.intake.check_store(store)
            formats_of(image)
            self.conversions.check_upload(image)
            room = self.quotas.check_new_upload(transaction, image.owner)
            room.check(1 if declared.size is None else declared.size)
            return self.claims.take(transaction, image, made), room

        return self.unit_of_work.write(work)

    def finish(self, context: RequestContext, upload: Upload, facts: DataFacts) -> Image:
        """Give a claimed image the blob that its upload has made. Raises as `upload`."""
        now = self.clock.now()

        def work(transaction: Transaction) -> tuple[Image, Task | None]:
            image = self.claims.claimed(transaction, upload)
            self.quotas.room(transaction, image.owner).check(facts.size)
            filled = publish(fill(image, facts, now), self.intake.limits)
            kept = transaction.images.update(filled)
            self.events.record(transaction, context, "image.upload", kept)
            self.events.record(transaction, context, "image.activate", kept)
            task = self.conversions.follow_upload(transaction, context, kept)
            return kept, task

        image, task = self.unit_of_work.write(work)
        if task is not None:
            self.conversions.ring()
        return image


def _open_file(store: BlobStore, key: str) -> BinaryIO | None:
    """A blob's file; None if it is not there, and `ImageData.read` will say why."""
    try:
        path = store.local_file(key)
        return None if path is None else path.open("rb", buffering=0)
    except (OSError, KiloError):
        return None
