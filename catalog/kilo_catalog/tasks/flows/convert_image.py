"""The conversion of an image that has data, in place or into a new image.

    find ─▶ plugin:convert ─▶ plugin:introspect ─▶ store:NAME … ─▶ verify ─▶ finish

Until the last step nothing of it shows: the image has its old data, or none. In place, the disk was
compared with the old one before it was stored, and every stored copy is read back; only then the
old copies go.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from msgspec import structs

from kilo_catalog.db.base import Doomed, Transaction, UnitOfWork
from kilo_catalog.domain.convert_request import CONVERT_TASK, conversion_of, swap
from kilo_catalog.domain.image import Image, ImageStatus
from kilo_catalog.domain.import_work import ImportWork, WorkBlob, state_of, with_work, work_of
from kilo_catalog.domain.importing import activate, close
from kilo_catalog.domain.task import Task
from kilo_catalog.errors import ImportConflict, TaskCancelled
from kilo_catalog.service.blob_removal import doom
from kilo_catalog.service.events import EventRecorder
from kilo_catalog.service.import_undo import undo_import
from kilo_catalog.service.quotas import ProjectQuotas
from kilo_catalog.stores.base import StoreUnavailable
from kilo_catalog.tasks.flow import Flow, Step
from kilo_catalog.tasks.flows.blobs import Blobs
from kilo_catalog.tasks.flows.plugging import Plugging
from kilo_catalog.tasks.flows.sources import own_data
from kilo_catalog.tasks.job import Job
from kilo_catalog.tasks.plugins.base import ImportPlugin
from kilo_common.clock import Clock


@dataclass(frozen=True)
class ConvertFlow(Flow):
    """Both kinds: they differ in whose data it is, and in the last step."""

    unit_of_work: UnitOfWork
    plugging: Plugging
    plugins: Sequence[ImportPlugin]
    """`convert`, and what tells of its result."""
    blobs: Blobs
    events: EventRecorder
    quotas: ProjectQuotas
    clock: Clock
    types = (CONVERT_TASK,)

    def steps(self, task: Task) -> Sequence[Step]:
        plan = conversion_of(task)
        return [
            Step("find", self._find),
            *(self.plugging.step(plugin) for plugin in self.plugins),
            *(
                Step(f"store:{name}", lambda job, name=name: self._store(job, name))  # type: ignore[misc]  # a default is how a loop's value is kept
                for name in plan.backend
            ),
            Step("verify", self._verify),
            Step("finish", self._finish),
        ]

    def undo(
        self, transaction: Transaction, task: Task, message: str, now: datetime
    ) -> Sequence[Doomed]:
        return undo_import(transaction, task, message, now)

    def _find(self, job: Job) -> None:
        source_id = conversion_of(job.task).source_id
        source = self.unit_of_work.read(lambda tx: tx.images.get(source_id))
        if source.status not in (ImageStatus.ACTIVE, ImageStatus.DEACTIVATED):
            raise ImportConflict(f"The image {source_id} is {source.status.value} by now")
        work = ImportWork(blob=own_data(source, self.blobs))
        job.finish_step("find", state_of(work), lambda _tx: None)

    def _store(self, job: Job, name: str) -> None:
        work = work_of(job.task)
        blob = _blob_of(work)
        if blob.own and blob.store == name and blob.location not in work.placed:
            location = blob.location
        else:
            location, _facts = self.blobs.put(job, blob, name)
        done = structs.replace(work, placed=(*work.placed, location))
        owned = location if location != blob.location else None
        job.finish_step(f"store:{name}", state_of(done), lambda _tx: None, owned=owned)

    def _verify(self, job: Job) -> None:
        """Read back what the stores have."""
        work = work_of(job.task)
        facts = _blob_of(work).facts
        done, total = 0, facts.size * len(work.placed)
        for place in work.placed:
            digest = hashlib.new(facts.os_hash_algo)
            for block in self.blobs.blocks(self.blobs.open(place)):
                job.check()
                self.blobs.executor.submit(digest.update, block).result()
                done += len(block)
                job.progress(done, total)
            if digest.hexdigest() != facts.os_hash_value:
                raise StoreUnavailable(
                    f"What the store {place.store} has kept is not what was converted; the image "
                    "is as it was",
                    store=place.store,
                )
        job.finish_step("verify", state_of(work), lambda _tx: None)

    def _finish(self, job: Job) -> None:
        work = work_of(job.task)
        blob = _blob_of(work)

        def change(transaction: Transaction) -> Sequence[Doomed]:
            image = transaction.images.get(job.task.image_id or "")
            if image.imports is None or image.imports.task != job.task.id:
                raise TaskCancelled("The image is not in the hands of this task any more")
            self._check_room(transaction, image, blob.facts.size)
            filled = swap(with_work(image, work), work.placed, blob.facts, self.clock.now())
            kept = transaction.images.update(activate(close(_arrived(filled))))
            if image.status is kept.status:
                self.events.record(transaction, job.context, "image.update", kept)
            else:
                self.events.record(transaction, job.context, "image.upload", kept)
                self.events.record(transaction, job.context, "image.activate", kept)
            left = [*image.locations, *([blob.location] if blob.own else [])]
            return doom(
                transaction, [each for each in left if each not in work.placed], self.clock.now()
            )

        stores = [each.store for each in work.placed]
        result = {
            "image_id": job.task.image_id,
            "stores": stores,
            "disk_format": blob.disk_format,
            "size": blob.facts.size,
        }
        job.succeed(result, change, f"Converted to {blob.disk_format}")

    def _check_room(self, transaction: Transaction, image: Image, size: int) -> None:
        """Room for what it has more than before."""
        more = size - (image.size or 0) if image.locations else size
        if more > 0:
            self.quotas.room(transaction, image.owner).check(more)


def _arrived(image: Image) -> Image:
    """The image with no store left to wait for."""
    assert image.imports is not None, "seen by _finish"
    return structs.replace(image, imports=structs.replace(image.imports, waiting=()))


def _blob_of(work: ImportWork) -> WorkBlob:
    assert work.blob is not None, "the first step has found the data"
    return work.blob
