"""The operations on image data: upload and download."""

import base64
import binascii
import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

from kilo_catalog.db.base import Transaction, UnitOfWork
from kilo_catalog.domain.image import DataFacts, Image, ImageStatus, fill
from kilo_catalog.domain.limits import Limits
from kilo_catalog.errors import (
    FormatsMissing,
    ImageDeactivated,
    ImageNotFound,
    ImageTooLarge,
    StoreUnknown,
    UploadMismatch,
)
from kilo_catalog.imaging.detection import open_inspector
from kilo_catalog.service.access import Access, target
from kilo_catalog.service.blob_removal import BlobRemoval
from kilo_catalog.service.events import EventRecorder
from kilo_catalog.service.ingest import ingest
from kilo_catalog.service.quotas import ProjectQuotas, Room
from kilo_catalog.service.upload_claims import Upload, UploadClaims
from kilo_catalog.stores.base import BlobReader, BlobStore, BlobWriter
from kilo_common.clock import Clock
from kilo_common.context import RequestContext
from kilo_common.errors import KiloError
from kilo_common.ids import IdSource

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Declared:
    """What a request says about the data it brings."""

    size: int | None = None
    md5: str | None = None
    """As Content-MD5 has it: base64 (RFC 1864), or the 32 hexadecimal digits many send."""
    store: str | None = None


@dataclass(frozen=True)
class ImageData:
    """Upload and download."""

    unit_of_work: UnitOfWork
    access: Access
    events: EventRecorder
    claims: UploadClaims
    removal: BlobRemoval
    stores: Mapping[str, BlobStore]
    default_store: str
    executor: Executor
    clock: Clock
    new_id: IdSource
    limits: Limits
    quotas: ProjectQuotas

    def upload(
        self, context: RequestContext, image_id: str, blocks: Iterable[bytes], declared: Declared
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
        self.claims.hold(upload)
        writer: BlobWriter | None = None
        try:
            store = self.stores[upload.claim.store]
            writer = self.executor.submit(store.create, upload.claim.id).result()
            facts = self._take_in(upload, room, writer, blocks, declared)
            return self._finish(context, upload, facts)
        except BaseException:  # GreenletExit as well: whatever ends an upload must undo it
            self._undo(upload, writer)
            raise
        finally:
            self.claims.let_go(upload)

    def open(self, context: RequestContext, image_id: str) -> Image:
        """The image, if the caller may read its data; without locations, it has none.

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
        return image

    def read(self, image: Image, offset: int, length: int) -> BlobReader:
        """A range of the image's data, from the first of its copies that can be read.

        Raises:
            StoreUnavailable: no copy can be read.
        """
        fault: Exception = ImageNotFound(image.id)
        for location in image.locations:
            store = self.stores.get(location.store)
            if store is None:
                continue
            try:
                return self.executor.submit(store.open, location.key, offset, length).result()
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
            if store not in self.stores:
                raise StoreUnknown(
                    f"There is no store {store[:64]!r}; stores are: {', '.join(self.stores)}",
                    store=store[:64],
                )
            if image.disk_format is None or image.container_format is None:
                raise FormatsMissing(
                    "Properties disk_format, container_format must be set prior to saving data.",
                    image_id=image_id,
                )
            room = self.quotas.check_new_upload(transaction, image.owner)
            room.check(1 if declared.size is None else declared.size)
            return self.claims.take(transaction, image, made), room

        return self.unit_of_work.write(work)

    def _take_in(
        self,
        upload: Upload,
        room: Room,
        writer: BlobWriter,
        blocks: Iterable[bytes],
        declared: Declared,
    ) -> DataFacts:
        image = upload.image
        assert image.disk_format is not None, "checked by _begin"
        assert image.container_format is not None, "checked by _begin"

        def check(size: int) -> None:
            self.claims.check(upload)
            self._check_size(size)
            room.check(size)

        facts = ingest(
            blocks,
            writer,
            open_inspector(image.disk_format, image.container_format),
            self.executor,
            check=check,
        )
        _compare(declared, facts)
        self.executor.submit(writer.commit).result()
        return facts

    def _finish(self, context: RequestContext, upload: Upload, facts: DataFacts) -> Image:
        now = self.clock.now()

        def work(transaction: Transaction) -> Image:
            image = self.claims.claimed(transaction, upload)
            self.quotas.room(transaction, image.owner).check(facts.size)
            kept = transaction.images.update(fill(image, facts, now))
            self.events.record(transaction, context, "image.upload", kept)
            self.events.record(transaction, context, "image.activate", kept)
            return kept

        return self.unit_of_work.write(work)

    def _check_size(self, size: int) -> None:
        if size > self.limits.image_size:
            raise ImageTooLarge(
                f"An image may have at most {self.limits.image_size} bytes",
                limit=self.limits.image_size,
            )

    def _undo(self, upload: Upload, writer: BlobWriter | None) -> None:
        """Give the image back and remove what was written. Whatever fails here the reaper does."""
        try:
            if writer is not None:
                self.executor.submit(writer.cancel).result()
            self.removal.remove_now(self.claims.abandon(upload))
        except KiloError as fault:
            log.warning("upload %s is left to the reaper: %s", upload.claim.id, fault)


def _compare(declared: Declared, facts: DataFacts) -> None:
    """Refuse data that is not what its request's headers say."""
    if declared.size is not None and declared.size != facts.size:
        raise UploadMismatch(
            f"The request declares {declared.size} bytes and brings {facts.size}",
            declared=declared.size,
            received=facts.size,
        )
    if declared.md5 is not None and _md5_hex(declared.md5) != facts.checksum:
        raise UploadMismatch(
            f"Content-MD5 is {declared.md5[:64]!r}, but the data's md5 is {facts.checksum}",
            declared=declared.md5[:64],
            received=facts.checksum,
        )


def _md5_hex(text: str) -> str:
    if len(text) == 32:
        return text.lower()
    try:
        return base64.b64decode(text, validate=True).hex()
    except (binascii.Error, ValueError):
        raise UploadMismatch("Content-MD5 is not an md5", declared=text[:64]) from None
