"""The steps of an import that are plugins: their bench, and what becomes of their work."""

import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from kilo_catalog.db.base import Doomed, Transaction, UnitOfWork
from kilo_catalog.domain.attributes import check_properties
from kilo_catalog.domain.image import DataFacts
from kilo_catalog.domain.import_work import ImportWork, WorkBlob, state_of, with_work, work_of
from kilo_catalog.domain.limits import Limits
from kilo_catalog.errors import ScratchFull
from kilo_catalog.service.blob_removal import doom
from kilo_catalog.service.intake import Intake
from kilo_catalog.service.quotas import ProjectQuotas
from kilo_catalog.stores.base import BlobReader
from kilo_catalog.tasks.flow import Step
from kilo_catalog.tasks.flows.blobs import Blobs
from kilo_catalog.tasks.flows.sources import image_of, size_check
from kilo_catalog.tasks.job import Job
from kilo_catalog.tasks.plugins.base import ImportPlugin, Workbench
from kilo_common.clock import Clock

_LOOK_EVERY = 0.5
_PARTS = 10_000
"""Progress of a plugin is passed on in so many parts."""


@dataclass(frozen=True)
class Plugging:
    """Runs plugins as steps."""

    unit_of_work: UnitOfWork
    blobs: Blobs
    intake: Intake
    quotas: ProjectQuotas
    limits: Limits
    clock: Clock
    scratch: Path
    """Where the folders for steps are made."""
    scratch_limit: int
    """The most bytes that one step's folder may have."""

    def step(self, plugin: ImportPlugin) -> Step:
        """The step that runs a plugin."""
        name = f"plugin:{plugin.name}"
        return Step(name, lambda job: self._run(job, plugin, name))

    def _run(self, job: Job, plugin: ImportPlugin, name: str) -> None:
        before = work_of(job.task)
        with _Bench(self, job, before) as bench:
            if plugin.wanted(bench):
                plugin.run(bench)
            after = bench.work
        old, new = before.blob, after.blob
        replaced = new is not None and old is not None and new.key != old.key

        def change(transaction: Transaction) -> list[Doomed]:
            if replaced and old is not None and old.own:
                return list(doom(transaction, [old.location], self.clock.now()))
            return []

        owned = new.location if replaced and new is not None else None
        job.finish_step(name, state_of(after), change, owned=owned)


class _Bench(Workbench):
    """The bench of one step."""

    def __init__(self, tools: Plugging, job: Job, work: ImportWork) -> None:
        self.work = work
        self.task = job.task
        self.context = job.context
        self.image = with_work(image_of(tools.unit_of_work, job), work)
        self._tools = tools
        self._job = job
        self._folder: Path | None = None
        self._looked_at = 0.0

    def __enter__(self) -> "_Bench":
        return self

    def __exit__(self, *_reason: object) -> None:
        if self._folder is not None:
            folder = self._folder
            self._tools.blobs.executor.submit(shutil.rmtree, folder, ignore_errors=True).result()

    @property
    def facts(self) -> DataFacts:
        return self._blob.facts

    @property
    def _blob(self) -> WorkBlob:
        assert self.work.blob is not None, "the first step has found the data"
        return self.work.blob

    def file(self) -> AbstractContextManager[Path]:
        return self._file()

    @contextmanager
    def _file(self) -> Iterator[Path]:
        blobs, blob = self._tools.blobs, self._blob
        store = blobs.store(blob.store)
        own = blobs.executor.submit(store.local_file, blob.key).result()
        if own is not None:
            yield own
            return
        copy = self.scratch() / f"blob-{blob.key}"
        with copy.open("wb") as target:
            for block in blobs.blocks(self.reader()):
                self.check()
                blobs.executor.submit(target.write, block).result()
        try:
            yield copy
        finally:
            copy.unlink(missing_ok=True)

    def reader(self) -> BlobReader:
        return self._tools.blobs.open(self._blob.location)

    def scratch(self) -> Path:
        if self._folder is None:
            self._tools.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
            made = tempfile.mkdtemp(prefix=f"{self.task.id}-", dir=self._tools.scratch)
            self._folder = Path(made)
        return self._folder

    def replace(
        self,
        source: Path,
        *,
        disk_format: str | None = None,
        container_format: str | None = None,
    ) -> None:
        tools = self._tools
        formats = (
            disk_format or self._blob.disk_format or "raw",
            container_format or self._blob.container_format or "bare",
        )
        check = size_check(tools.unit_of_work, tools.intake, tools.quotas, self.image)
        check(source.stat().st_size)
        made = tools.blobs.take_file(self._job, source, formats, check=check)
        if self.work.blob is not None and self.work.blob.key != self._first_key:
            self._job.drop_blob(self.work.blob.location)
        self.work = structs.replace(self.work, blob=made)
        self.image = with_work(self.image, self.work)

    @property
    def _first_key(self) -> str:
        """The blob that the step began with: it is doomed when the step is recorded."""
        first = work_of(self.task).blob
        return first.key if first is not None else ""

    def set_properties(self, properties: Mapping[str, str]) -> None:
        merged = {**self.work.properties, **properties}
        check_properties({**self.image.properties, **merged}, self._tools.limits)
        dropped = tuple(each for each in self.work.dropped if each not in properties)
        self.work = structs.replace(self.work, properties=merged, dropped=dropped)
        self.image = with_work(self.image, self.work)

    def drop_properties(self, names: Collection[str]) -> None:
        left = {name: each for name, each in self.work.properties.items() if name not in names}
        dropped = tuple(dict.fromkeys((*self.work.dropped, *names)))
        self.work = structs.replace(self.work, properties=left, dropped=dropped)
        self.image = with_work(self.image, self.work)

    def progress(self, fraction: float) -> None:
        self._job.progress(int(fraction * _PARTS), _PARTS)

    def check(self) -> None:
        self._job.check()
        now = time.monotonic()
        if self._folder is None or now - self._looked_at < _LOOK_EVERY:
            return
        self._looked_at = now
        size = _size_of(self._folder)
        if size > self._tools.scratch_limit:
            raise ScratchFull(
                f"The step needs more than the {self._tools.scratch_limit} bytes of local disk it "
                "may have (catalog.imports.scratch_limit)",
                limit=self._tools.scratch_limit,
            )


def _size_of(folder: Path) -> int:
    """The bytes that files below a folder take on disk: holes take none."""
    total = 0
    for path, _folders, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_blocks * 512  # noqa: PTH118 - os.walk gives text
            except FileNotFoundError:
                continue  # it went while we looked
    return total
