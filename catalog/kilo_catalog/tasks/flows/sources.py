"""Where the data of an import comes from: one class per import method."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from kilo_catalog.db.base import UnitOfWork
from kilo_catalog.domain.attributes import check_properties
from kilo_catalog.domain.image import DataFacts, Image
from kilo_catalog.domain.import_request import plan_of
from kilo_catalog.domain.import_work import ImportWork, WorkBlob
from kilo_catalog.domain.limits import Limits
from kilo_catalog.errors import ImportConflict
from kilo_catalog.service.intake import Intake, formats_of
from kilo_catalog.service.protections import PropertyProtections
from kilo_catalog.service.quotas import ProjectQuotas
from kilo_catalog.tasks.flows.blobs import Blobs, Check
from kilo_catalog.tasks.flows.regions import Region, RemoteImage
from kilo_catalog.tasks.job import Job
from kilo_common.fetch.errors import FetchFailed
from kilo_common.fetch.fetcher import Fetcher, FetchStream


class Source(ABC):
    """The first step of an import."""

    name: ClassVar[str]
    """The step's."""

    @abstractmethod
    def read(self, job: Job) -> ImportWork:
        """The data, as the import's working blob, and what came with it.

        Raises:
            ImageNotFound: the image was deleted.
            Whatever keeps the data from coming; its sentence is the task's message.
        """


@dataclass(frozen=True)
class StagedSource(Source):
    """`glance-direct`: the data was staged, hashed and inspected. Nothing is left to do."""

    unit_of_work: UnitOfWork
    name = "take"

    def read(self, job: Job) -> ImportWork:
        image = image_of(self.unit_of_work, job)
        if image.staged is None:
            raise ImportConflict("The staged data is gone; stage it again", image_id=image.id)
        staged = image.staged
        blob = WorkBlob(
            store=staged.store,
            key=staged.key,
            facts=staged.facts,
            disk_format=image.disk_format,
            container_format=image.container_format,
            own=False,
        )
        return ImportWork(blob=blob)


@dataclass(frozen=True)
class Download:
    """The way of an answer's body into the staging store, within what its image may have."""

    unit_of_work: UnitOfWork
    blobs: Blobs
    intake: Intake
    quotas: ProjectQuotas

    def take_in(
        self, job: Job, image: Image, stream: FetchStream, formats: tuple[str, str]
    ) -> WorkBlob:
        """The body as a working blob. Raises as `Blobs.take_in`; QuotaExceeded, ImageTooLarge."""
        check = size_check(self.unit_of_work, self.intake, self.quotas, image)
        if stream.length is not None:
            check(stream.length)
        blocks = _blocks(job, stream, self.blobs.block_size)
        with job.breaking(stream.abort):
            return self.blobs.take_in(job, blocks, formats, total=stream.length, check=check)


@dataclass(frozen=True)
class WebSource(Source):
    """`web-download`: from a URL, through the guarded fetcher."""

    fetcher: Fetcher
    download: Download
    name = "download"

    def read(self, job: Job) -> ImportWork:
        image = image_of(self.download.unit_of_work, job)
        uri = plan_of(job.task).request.uri
        with self.fetcher.open(uri) as stream:
            return ImportWork(blob=self.download.take_in(job, image, stream, formats_of(image)))


@dataclass(frozen=True)
class RegionSource(Source):
    """`glance-download`: an image of another catalog, with its formats and some properties."""

    regions: Mapping[str, Region]
    download: Download
    protections: PropertyProtections
    limits: Limits
    name = "download"

    def read(self, job: Job) -> ImportWork:
        image = image_of(self.download.unit_of_work, job)
        request = plan_of(job.task).request
        if request.region not in self.regions:
            raise ImportConflict(f"The catalog {request.region[:64]!r} is not configured any more")
        region = self.regions[request.region]
        session = region.sign_in(job.context, request.interface)
        remote = region.find(session, request.remote_id)
        properties = self._properties(job, image, remote)
        with region.open(session, remote) as stream:
            blob = self.download.take_in(job, image, stream, remote.formats)
        if not remote.is_like(blob.facts):
            raise FetchFailed(
                f"What came from {request.region} is not what the image {remote.id} has there: "
                "the hashes differ"
            )
        return ImportWork(blob=blob, properties=properties)

    def _properties(self, job: Job, image: Image, remote: RemoteImage) -> Mapping[str, str]:
        """What comes with the image: not what it has here already, nor what its owner may not
        set."""
        new = {
            name: value for name, value in remote.properties.items() if name not in image.properties
        }
        allowed = self.protections.creatable(job.context, image, new)
        check_properties({**image.properties, **allowed}, self.limits)
        return allowed


@dataclass(frozen=True)
class CopySource(Source):
    """`copy-image`: the image's own data, from the first store that has it."""

    unit_of_work: UnitOfWork
    blobs: Blobs
    name = "find"

    def read(self, job: Job) -> ImportWork:
        return ImportWork(blob=own_data(image_of(self.unit_of_work, job), self.blobs))


def own_data(image: Image, blobs: Blobs) -> WorkBlob:
    """An image's data, in the first of its stores that is configured. Raises ImportConflict."""
    for location in image.locations:
        if location.store in blobs.stores:
            return WorkBlob(
                store=location.store,
                key=location.key,
                facts=DataFacts(
                    image.size or 0,
                    image.virtual_size,
                    image.checksum or "",
                    image.os_hash_algo or "",
                    image.os_hash_value or "",
                    image.findings,
                ),
                disk_format=image.disk_format,
                container_format=image.container_format,
                own=False,
            )
    raise ImportConflict("None of the stores that have the image is configured", id=image.id)


def image_of(unit_of_work: UnitOfWork, job: Job) -> Image:
    """The task's image. Raises ImageNotFound."""
    return unit_of_work.read(lambda tx: tx.images.get(job.task.image_id or ""))


def size_check(
    unit_of_work: UnitOfWork, intake: Intake, quotas: ProjectQuotas, image: Image
) -> Check:
    """Raises when an image gets more bytes than it, or its project, may have."""
    room = unit_of_work.read(lambda tx: quotas.stage_room(tx, image.owner))

    def check(size: int) -> None:
        intake.check_size(size)
        room.check(size)

    return check


def _blocks(job: Job, stream: FetchStream, size: int) -> Iterator[bytes]:
    while True:
        try:
            block = stream.read(size)
        except FetchFailed:
            job.check()  # it may be we who have ended it
            raise
        if not block:
            return
        yield block
