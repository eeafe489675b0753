"""Uploads in several requests: begun, continued where they broke off, ended.

What there is of an upload is in its store; the image's claim says that it is under way, until when
the next request may come, and which request is at work on it. A request that dies with its process
loses its hold after the lease; the upload itself stays.
"""

import base64
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import timedelta

from msgspec import Struct, structs

from kilo_catalog.db.base import Transaction, UnitOfWork
from kilo_catalog.domain.image import DataFacts, Image, Resumable, UploadClaim
from kilo_catalog.errors import (
    FormatRefused,
    ImageTooLarge,
    OffsetMismatch,
    StoreNotFound,
    UploadBusy,
    UploadNotFound,
)
from kilo_catalog.imaging.detection import open_inspector
from kilo_catalog.service.access import Access
from kilo_catalog.service.image_data import ImageData
from kilo_catalog.service.ingest import Block, ingest
from kilo_catalog.service.intake import Blocks, Intake, formats_of
from kilo_catalog.service.quotas import ProjectQuotas
from kilo_catalog.service.upload_claims import Upload, UploadClaims
from kilo_catalog.stores.base import BlobExists, BlobNotFound, BlobReader, BlobStore, BlobWriter
from kilo_common.clock import Clock
from kilo_common.context import RequestContext
from kilo_common.errors import KiloError
from kilo_common.ids import IdSource

log = logging.getLogger(__name__)


class UploadState(Struct, frozen=True):
    """How far an upload is, in bytes."""

    id: str
    offset: int
    length: int
    metadata: str = ""


@dataclass(frozen=True)
class ResumableUploads:
    """Begin, continue, look, end."""

    unit_of_work: UnitOfWork
    access: Access
    claims: UploadClaims
    intake: Intake
    image_data: ImageData
    stores: Mapping[str, BlobStore]
    default_store: str
    executor: Executor
    clock: Clock
    new_id: IdSource
    quotas: ProjectQuotas
    block_size: int
    lease: timedelta
    """For how long a request holds an upload after it was last heard of."""
    kept_for: timedelta
    """For how long an upload waits for its next request."""

    def create(
        self,
        context: RequestContext,
        image_id: str,
        length: int,
        metadata: str = "",
        store: str | None = None,
    ) -> UploadState:
        """Begin an upload of `length` bytes into a queued image; one of none is ended at once.

        Raises:
            ImageNotFound, PolicyForbids: see `Access.find`.
            StoreUnknown, FormatsMissing, StatusConflict, ImageTooLarge, QuotaExceeded: it cannot
                be begun.
            StoreFull, StoreUnavailable.
        """
        name = store or self.default_store
        self.intake.check_store(name)
        self.intake.check_size(length)
        now = self.clock.now()
        until = now + self.kept_for
        holder = Resumable(length, metadata, self.new_id(), now + self.lease)
        made = UploadClaim(self.new_id(), name, until, holder)

        def work(transaction: Transaction) -> Upload:
            image = self.access.find(transaction, context, image_id, "upload_image")
            formats_of(image)
            self.quotas.check_new_upload(transaction, image.owner).check(max(length, 1))
            return self.claims.take(transaction, image, made)

        upload = self.unit_of_work.write(work)
        try:
            writer = self.executor.submit(self.stores[name].create, made.id).result()
            if length == 0:
                self._finish(context, upload, writer, None)
            else:
                self.executor.submit(writer.suspend).result()
                self._release(upload)
        except BaseException:  # GreenletExit as well: the client does not know of it yet
            self._give_up(upload)
            raise
        return UploadState(made.id, 0, length, metadata)

    def status(self, context: RequestContext, image_id: str, upload_id: str) -> UploadState:
        """How far an upload is. One that has all its bytes, and whose last request died, is ended
        now.

        Raises:
            ImageNotFound, PolicyForbids, UploadNotFound.
            UploadBusy: a request is at work on it.
            Whatever `append` raises at the end of an upload.
        """
        image = self.unit_of_work.read(
            lambda tx: self.access.find(tx, context, image_id, "upload_image")
        )
        if any(each.key == upload_id for each in image.locations):
            return UploadState(upload_id, image.size or 0, image.size or 0)
        return self._continue(context, image_id, upload_id, lambda _upload, writer: writer)

    def append(
        self,
        context: RequestContext,
        image_id: str,
        upload_id: str,
        offset: int,
        blocks: Blocks,
    ) -> UploadState:
        """Keep the bytes in `blocks`, which begin at `offset`; with the last byte the image turns
        active. What arrived of a body that breaks off is kept.

        Raises:
            ImageNotFound, PolicyForbids, UploadNotFound.
            UploadBusy: another request is at work on it.
            OffsetMismatch: the upload is not at `offset`.
            ImageTooLarge, QuotaExceeded, BodyTruncated: the rest was not kept.
            FormatRefused: the data is no good, and the upload is over.
            UploadLost: the image went on without this upload.
            StoreFull, StoreUnavailable.
        """

        def work(upload: Upload, writer: BlobWriter) -> BlobWriter:
            if writer.offset != offset:
                raise OffsetMismatch(
                    f"The upload is at {writer.offset}, not at {offset}", offset=writer.offset
                )
            self._take_in(upload, writer, blocks)
            return writer

        return self._continue(context, image_id, upload_id, work)

    def terminate(self, context: RequestContext, image_id: str, upload_id: str) -> None:
        """End an upload without effect: its bytes go, and its image is queued.

        Raises:
            ImageNotFound, PolicyForbids, UploadNotFound; UploadBusy.
        """
        self._give_up(self._hold(context, image_id, upload_id))

    def _continue(
        self,
        context: RequestContext,
        image_id: str,
        upload_id: str,
        work: Callable[[Upload, BlobWriter], BlobWriter],
    ) -> UploadState:
        """Do `work` while holding the upload; end it if that brought its last byte."""
        upload = self._hold(context, image_id, upload_id)
        resumable = _resumable(upload)
        self.claims.hold(upload)
        try:
            writer = self._resume(upload)
            if writer is not None:
                try:
                    work(upload, writer)
                except BaseException:  # GreenletExit as well: the client comes back for it
                    self.executor.submit(writer.suspend).result()
                    raise
                offset = writer.offset
            else:
                offset = resumable.length
            if offset == resumable.length:
                self._finish(context, upload, writer, None)
            elif writer is not None:
                offset = self.executor.submit(writer.suspend).result()
                self._release(upload)
            return UploadState(upload_id, offset, resumable.length, resumable.metadata)
        except FormatRefused:
            self._give_up(upload)
            raise
        except BaseException:
            self._release_quietly(upload)
            raise
        finally:
            self.claims.let_go(upload)

    def _take_in(self, upload: Upload, writer: BlobWriter, blocks: Blocks) -> None:
        resumable = _resumable(upload)
        before = writer.offset

        def check(received: int) -> None:
            self.claims.check(upload)
            if before + received > resumable.length:
                raise ImageTooLarge(
                    f"The upload was begun with {resumable.length} bytes, and there are more",
                    limit=resumable.length,
                )

        def write() -> Iterator[Block]:
            size = 0
            for block in blocks:
                size += len(block)
                check(size)
                self.executor.submit(writer.write, block).result()
                yield block

        for block in write():
            blocks.give_back(block)

    def _finish(
        self,
        context: RequestContext,
        upload: Upload,
        writer: BlobWriter | None,
        digest: str | None,
    ) -> Image:
        """Make the blob whole, look at all of it, and give it to the image."""
        if writer is not None:
            self.executor.submit(writer.commit, digest).result()
        return self.image_data.finish(context, upload, self._look_at(upload))

    def _look_at(self, upload: Upload) -> DataFacts:
        disk_format, container_format = formats_of(upload.image)
        store = self.stores[upload.claim.store]
        reader = self.executor.submit(store.open, upload.claim.id).result()
        try:
            return ingest(
                self._blocks(reader),
                None,
                open_inspector(disk_format, container_format),
                self.executor,
                check=lambda _size: self.claims.check(upload),
            )
        finally:
            self.executor.submit(reader.close).result()

    def _blocks(self, reader: BlobReader) -> Iterator[bytes]:
        while block := self.executor.submit(reader.read, self.block_size).result():
            yield block

    def _resume(self, upload: Upload) -> BlobWriter | None:
        """The writer of what was begun; None if all of it is committed."""
        store = self._store(upload)
        try:
            return self.executor.submit(store.resume, upload.claim.id).result()
        except BlobExists:
            return None
        except BlobNotFound:
            # The process died between the claim and the store: nothing is there, nothing is lost.
            return self.executor.submit(store.create, upload.claim.id).result()

    def _hold(self, context: RequestContext, image_id: str, upload_id: str) -> Upload:
        """Take the upload into this request's hands."""
        holder = self.new_id()

        def work(transaction: Transaction) -> Upload:
            image = self.access.find(transaction, context, image_id, "upload_image")
            now = self.clock.now()
            claim = image.upload
            if claim is None or claim.id != upload_id or claim.resumable is None:
                raise UploadNotFound(
                    f"Image {image_id} has no upload {upload_id[:64]}", image_id=image_id
                )
            resumable = claim.resumable
            if resumable.holder and resumable.held_until > now:
                raise UploadBusy(
                    "Another request is at work on this upload; try again", image_id=image_id
                )
            held = structs.replace(resumable, holder=holder, held_until=now + self.lease)
            made = UploadClaim(claim.id, claim.store, now + self.kept_for, held)
            return Upload(transaction.images.update(structs.replace(image, upload=made)), made)

        return self.unit_of_work.write(work)

    def _release(self, upload: Upload) -> None:
        """Let the next request have the upload."""

        def work(transaction: Transaction) -> None:
            image = self.claims.claimed(transaction, upload)
            free = structs.replace(_resumable(upload), holder="")
            until = self.clock.now() + self.kept_for
            made = UploadClaim(upload.claim.id, upload.claim.store, until, free)
            transaction.images.update(structs.replace(image, upload=made))

        self.unit_of_work.write(work)

    def _release_quietly(self, upload: Upload) -> None:
        try:
            self._release(upload)
        except KiloError as fault:
            log.warning("upload %s is held until its lease ends: %s", upload.claim.id, fault)

    def _give_up(self, upload: Upload) -> None:
        """Give the image back and remove what was written. Whatever fails here the reaper does."""
        try:
            self.intake.removal.remove_now(self.claims.abandon(upload))
        except KiloError as fault:
            log.warning("upload %s is left to the reaper: %s", upload.claim.id, fault)

    def _store(self, upload: Upload) -> BlobStore:
        name = upload.claim.store
        if name not in self.stores:
            raise StoreNotFound(f"The store {name!r} is not configured any more", store=name)
        return self.stores[name]


def _resumable(upload: Upload) -> Resumable:
    assert upload.claim.resumable is not None, "seen when it was held"
    return upload.claim.resumable


def decode_metadata(header: str) -> Mapping[str, str]:
    """The pairs of an `Upload-Metadata` header (tus 1.0, creation): a key and, in base64, a text.

    Raises:
        ValueError: it is malformed.
    """
    pairs = {}
    for entry in filter(None, (each.strip() for each in header.split(","))):
        key, _, value = entry.partition(" ")
        pairs[key] = base64.b64decode(value, validate=True).decode()
    return pairs
