"""What the steps of a flow do with bytes: take them in, read them, put them into a store."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from kilo_catalog.domain.image import DataFacts, Location
from kilo_catalog.domain.import_work import WorkBlob
from kilo_catalog.errors import StoreUnknown
from kilo_catalog.imaging.detection import open_inspector
from kilo_catalog.imaging.inspector import Inspector
from kilo_catalog.service.ingest import ingest
from kilo_catalog.stores.base import BlobReader, BlobStore, StoreUnavailable
from kilo_catalog.stores.lent import LentFile
from kilo_catalog.tasks.job import Job
from kilo_common.errors import KiloError

Check = Callable[[int], None]


@dataclass(frozen=True)
class Blobs:
    """The stores, as the flows use them."""

    stores: Mapping[str, BlobStore]
    staging: str
    """The name of the store for working blobs."""
    executor: Executor
    block_size: int

    def store(self, name: str) -> BlobStore:
        """The store of that name.

        Raises:
            StoreUnknown: it is not configured any more.
        """
        if name not in self.stores:
            raise StoreUnknown(f"The store {name[:64]!r} is not configured any more", store=name)
        return self.stores[name]

    def open(self, place: Location) -> BlobReader:
        """A blob as a stream. Raises BlobNotFound, StoreUnavailable."""
        return self.executor.submit(self.store(place.store).open, place.key).result()

    def blocks(self, reader: BlobReader) -> Iterator[bytes]:
        """The bytes of a reader, which is closed at the end, whatever the end is."""
        with closing(reader):
            while block := self.executor.submit(reader.read, self.block_size).result():
                yield block

    def take_in(
        self,
        job: Job,
        blocks: Iterable[bytes],
        formats: tuple[str, str],
        *,
        total: int | None,
        check: Check,
    ) -> WorkBlob:
        """The bytes as a new working blob, hashed and inspected. The step that comes to own it
        names its place to `Job.finish_step`.

        Raises:
            FormatRefused: they are not of those formats, or not safe.
            TaskCancelled, TaskLost, TaskInterrupted: see `Job.check`.
            StoreFull, StoreUnavailable; and what `blocks` and `check` raise.
        """
        place = job.new_blob(self.staging)
        facts = self._write(job, place, blocks, open_inspector(*formats), total, check)
        return _work_blob(place, facts, formats)

    def take_file(
        self, job: Job, file: Path, formats: tuple[str, str], *, check: Check
    ) -> WorkBlob:
        """A local file as a new working blob. Its bytes are only read, and its holes stay holes,
        where the staging store can adopt the file; otherwise they are copied. Raises as `take_in`.
        """
        total = file.stat().st_size
        place = job.new_blob(self.staging)
        lent = LentFile(file)
        if not self.executor.submit(self._adopt, place, lent).result():
            job.drop_blob(place)
            blocks = self.blocks(lent.open(LentFile.KEY))
            return self.take_in(job, blocks, formats, total=total, check=check)
        try:
            blocks = self.blocks(lent.open(LentFile.KEY))
            look = _watch(job, total, check)
            facts = ingest(blocks, None, open_inspector(*formats), self.executor, check=look)
        except BaseException:  # GreenletExit as well: as in `_write`
            with suppress(KiloError):
                job.drop_blob(place)
            raise
        return _work_blob(place, facts, formats)

    def _adopt(self, place: Location, lent: LentFile) -> bool:
        lent.seal()
        return self.store(place.store).adopt(place.key, lent, LentFile.KEY)

    def put(self, job: Job, blob: WorkBlob, store: str) -> tuple[Location, DataFacts]:
        """A copy of a blob in a store: where it is, and what its bytes are.

        Without the bytes passing through us where the two stores can do that; otherwise they are
        compared with what is known of them on the way.

        Raises:
            StoreUnavailable: it cannot be read or kept, or it is damaged.
            StoreFull; TaskCancelled, TaskLost, TaskInterrupted.
        """
        place = job.new_blob(store)
        source = self.store(blob.store)
        target = self.store(store)
        adopted = self.executor.submit(
            target.adopt, place.key, source, blob.key, blob.facts.os_hash_value or None
        ).result()
        if adopted:
            return place, blob.facts
        blocks = self.blocks(self.open(blob.location))
        facts = self._write(job, place, blocks, None, blob.facts.size, lambda _size: None)
        if blob.facts.os_hash_value and facts.os_hash_value != blob.facts.os_hash_value:
            job.drop_blob(place)
            raise StoreUnavailable(
                f"The data read from store {blob.store} is damaged: its hash is not the one that "
                "was recorded",
                store=blob.store,
            )
        return place, blob.facts if blob.facts.os_hash_value else facts

    def look_at(
        self, job: Job, place: Location, formats: tuple[str, str], check: Check
    ) -> DataFacts:
        """Hash and inspect a blob where it is.

        Raises:
            FormatRefused: it is not of those formats, or not safe.
            BlobNotFound, StoreUnavailable: it cannot be read.
            TaskCancelled, TaskLost, TaskInterrupted; and what `check` raises.
        """
        total = self.executor.submit(self.store(place.store).size, place.key).result()
        look = _watch(job, total, check)
        blocks = self.blocks(self.open(place))
        return ingest(blocks, None, open_inspector(*formats), self.executor, check=look)

    def _write(
        self,
        job: Job,
        place: Location,
        blocks: Iterable[bytes],
        inspector: Inspector | None,
        total: int | None,
        check: Check,
    ) -> DataFacts:
        look = _watch(job, total, check)
        writer = self.executor.submit(self.store(place.store).create, place.key).result()
        try:
            facts = ingest(blocks, writer, inspector, self.executor, check=look)
            self.executor.submit(writer.commit, facts.os_hash_value).result()
        except BaseException:  # GreenletExit as well: no half blob may stay
            self.executor.submit(writer.cancel).result()
            with suppress(KiloError):
                job.drop_blob(place)
            raise
        return facts


def _watch(job: Job, total: int | None, check: Check) -> Check:
    """What is called before each block is kept."""

    def look(size: int) -> None:
        job.check()
        check(size)
        job.progress(size, total)

    return look


def _work_blob(place: Location, facts: DataFacts, formats: tuple[str, str]) -> WorkBlob:
    return WorkBlob(
        store=place.store,
        key=place.key,
        facts=facts,
        disk_format=formats[0],
        container_format=formats[1],
        own=True,
    )
