"""The import of an image: its data from somewhere, through the plugins, into its stores.

    read ─▶ plugin:NAME … ─▶ store:NAME … ─▶ activate

Where every store must succeed, the image turns active at the end; otherwise with its first copy.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from msgspec import structs

from kilo_catalog.db.base import Doomed, Transaction
from kilo_catalog.domain.image import DataFacts, Image, ImageStatus, Location
from kilo_catalog.domain.import_request import (
    ADMIN_TASK,
    IMPORT_TASK,
    ImportMethod,
    plan_of,
)
from kilo_catalog.domain.import_work import ImportWork, WorkBlob, state_of, with_work, work_of
from kilo_catalog.domain.importing import activate, close, miss, place
from kilo_catalog.domain.limits import Limits
from kilo_catalog.domain.task import Task
from kilo_catalog.errors import ImportConflict, TaskCancelled, TaskLost
from kilo_catalog.service.blob_removal import doom
from kilo_catalog.service.events import EventRecorder
from kilo_catalog.service.import_undo import undo_import
from kilo_catalog.service.introspection import publish
from kilo_catalog.service.quotas import ProjectQuotas
from kilo_catalog.tasks.flow import Flow, Step
from kilo_catalog.tasks.flows.blobs import Blobs
from kilo_catalog.tasks.flows.plugging import Plugging
from kilo_catalog.tasks.flows.sources import Source
from kilo_catalog.tasks.job import Job, TaskInterrupted
from kilo_catalog.tasks.plugins.base import ImportPlugin
from kilo_common.clock import Clock
from kilo_common.errors import KiloError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImportFlow(Flow):
    """All import methods: they differ in where the data comes from."""

    sources: Mapping[ImportMethod, Source]
    plugging: Plugging
    plugins: Sequence[ImportPlugin]
    blobs: Blobs
    events: EventRecorder
    quotas: ProjectQuotas
    limits: Limits
    clock: Clock
    types = (IMPORT_TASK, ADMIN_TASK)

    def steps(self, task: Task) -> Sequence[Step]:
        plan = plan_of(task)
        source = self.sources[plan.request.method]
        steps = [Step(source.name, lambda job: self._read(job, source))]
        if plan.request.method not in (ImportMethod.COPY_IMAGE, ImportMethod.LOCATION):
            steps += [self.plugging.step(plugin) for plugin in self.plugins]
        steps += [
            Step(f"store:{name}", lambda job, name=name: self._store(job, name))  # type: ignore[misc]  # a default is how a loop's value is kept
            for name in plan.stores
        ]
        return [*steps, Step("activate", self._activate)]

    def undo(
        self, transaction: Transaction, task: Task, message: str, now: datetime
    ) -> Sequence[Doomed]:
        return undo_import(transaction, task, message, now)

    def _read(self, job: Job, source: Source) -> None:
        work = source.read(job)
        owned = work.blob.location if work.blob is not None and work.blob.own else None
        job.finish_step(source.name, state_of(work), lambda _tx: None, owned=owned)

    def _store(self, job: Job, name: str) -> None:
        work = work_of(job.task)
        blob = _blob_of(work)
        must = plan_of(job.task).request.must_succeed
        try:
            if blob.store == name and blob.location not in work.placed:
                location, facts = blob.location, blob.facts
            else:
                location, facts = self.blobs.put(job, blob, name)
        except (TaskCancelled, TaskLost, TaskInterrupted):
            raise
        except KiloError as fault:
            if must:
                raise
            log.warning("image %s is not put into store %s: %s", job.task.image_id, name, fault)
            self._miss(job, work, name, fault.message)
            return
        done = structs.replace(work, placed=(*work.placed, location))

        def change(transaction: Transaction) -> None:
            self._place(transaction, job, work, location, facts, at_once=not must)

        owned = location if location != blob.location else None
        job.finish_step(f"store:{name}", state_of(done), change, owned=owned)

    def _miss(self, job: Job, work: ImportWork, name: str, reason: str) -> None:
        missed = structs.replace(work, missed={**work.missed, name: reason})

        def change(transaction: Transaction) -> None:
            transaction.images.update(miss(_ours(transaction, job.task), name))

        job.finish_step(f"store:{name}", state_of(missed), change)

    def _place(
        self,
        transaction: Transaction,
        job: Job,
        work: ImportWork,
        location: Location,
        facts: DataFacts,
        *,
        at_once: bool,
    ) -> None:
        image = _ours(transaction, job.task)
        if image.status is ImageStatus.IMPORTING:
            if not work.placed:
                self.quotas.room(transaction, image.owner).check(facts.size)
            image = with_work(image, work)
        placed = publish(place(image, location, facts, self.clock.now()), self.limits)
        if at_once:
            self._activate_record(transaction, job, image, placed)
        else:
            transaction.images.update(placed)

    def _activate_record(
        self, transaction: Transaction, job: Job, before: Image, after: Image
    ) -> None:
        """Keep `after`, active, and record the events of that if it was not active before."""
        kept = transaction.images.update(activate(after))
        if before.status is not kept.status:
            self.events.record(transaction, job.context, "image.upload", kept)
            self.events.record(transaction, job.context, "image.activate", kept)

    def _activate(self, job: Job) -> None:
        """The last step: the image is free, and what the import needed on the way goes."""
        work = work_of(job.task)
        if not work.placed:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in work.missed.items())
            raise ImportConflict(f"No store took the data: {reasons}")

        def change(transaction: Transaction) -> Sequence[Doomed]:
            image = _ours(transaction, job.task)
            left = [Location(image.staged.store, image.staged.key)] if image.staged else []
            if work.blob is not None and work.blob.own:
                left.append(work.blob.location)
            closed = close(image)
            self._activate_record(transaction, job, image, closed)
            if image.status is not ImageStatus.IMPORTING:
                self.events.record(transaction, job.context, "image.update", closed)
            return doom(
                transaction,
                [each for each in left if each not in closed.locations],
                self.clock.now(),
            )

        stores = [each.store for each in work.placed]
        result = {"image_id": job.task.image_id, "stores": stores, "missed": dict(work.missed)}
        message = f"Copied to {', '.join(stores)}"
        if work.missed:
            message += f"; not to {', '.join(work.missed)}"
        job.succeed(result, change, message)


def _ours(transaction: Transaction, task: Task) -> Image:
    """The image, while it is this task's.

    Raises:
        ImageNotFound: it was deleted.
        TaskCancelled: it went on without this task.
    """
    image = transaction.images.get(task.image_id or "")
    if image.imports is None or image.imports.task != task.id:
        raise TaskCancelled("The image is not being imported by this task any more")
    return image


def _blob_of(work: ImportWork) -> WorkBlob:
    assert work.blob is not None, "the first step has found the data"
    return work.blob
