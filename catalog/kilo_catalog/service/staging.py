"""Staging: data is brought now and imported later. It waits in the staging store, hashed and
inspected already, so that the import need not look at it again."""

from dataclasses import dataclass
from datetime import timedelta

from kilo_catalog.db.base import Transaction, UnitOfWork
from kilo_catalog.domain.image import DataFacts, Image, Staged
from kilo_catalog.domain.importing import claim_stage, stage
from kilo_catalog.service.access import Access
from kilo_catalog.service.events import EventRecorder
from kilo_catalog.service.intake import Blocks, Declared, Intake, formats_of
from kilo_catalog.service.quotas import ProjectQuotas, Room
from kilo_catalog.service.upload_claims import Upload
from kilo_common.clock import Clock
from kilo_common.context import RequestContext
from kilo_common.ids import IdSource


@dataclass(frozen=True)
class Staging:
    """The first half of an import by `glance-direct`."""

    unit_of_work: UnitOfWork
    access: Access
    events: EventRecorder
    intake: Intake
    store: str
    """The staging store's name."""
    clock: Clock
    new_id: IdSource
    quotas: ProjectQuotas
    kept_for: timedelta
    """How long staged data waits for its import."""

    def stage(
        self, context: RequestContext, image_id: str, blocks: Blocks, declared: Declared
    ) -> Image:
        """Keep the bytes in `blocks` for an import of a queued image. Raises as
        `ImageData.upload`."""
        if declared.store is not None:
            self.intake.check_store(declared.store)
        upload, room = self._begin(context, image_id, declared)

        def finish(facts: DataFacts) -> Image:
            return self.unit_of_work.write(lambda tx: self._finish(tx, context, upload, facts))

        return self.intake.run(upload, room, blocks, declared, finish)

    def _begin(
        self, context: RequestContext, image_id: str, declared: Declared
    ) -> tuple[Upload, Room]:
        made = self.intake.claims.new_claim(self.new_id(), self.store)

        def work(transaction: Transaction) -> tuple[Upload, Room]:
            image = self.access.find(transaction, context, image_id, "upload_image")
            formats_of(image)
            room = self.quotas.check_new_stage(transaction, image.owner)
            room.check(1 if declared.size is None else declared.size)
            return Upload(transaction.images.update(claim_stage(image, made)), made), room

        return self.unit_of_work.write(work)

    def _finish(
        self, transaction: Transaction, context: RequestContext, upload: Upload, facts: DataFacts
    ) -> Image:
        now = self.clock.now()
        image = self.intake.claims.claimed(transaction, upload)
        self.quotas.stage_room(transaction, image.owner).check(facts.size)
        staged = Staged(upload.claim.store, upload.claim.id, now + self.kept_for, facts)
        kept = transaction.images.update(stage(image, staged, now))
        self.events.record(transaction, context, "image.prepare", kept)
        return kept
