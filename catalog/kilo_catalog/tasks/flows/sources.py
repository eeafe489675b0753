"""Where the data of an import comes from: one class per import method."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from kilo_catalog.db.base import UnitOfWork
from kilo_catalog.domain.image import DataFacts, Image
from kilo_catalog.domain.import_request import plan_of
from kilo_catalog.domain.import_work import WorkBlob
from kilo_catalog.errors import ImportConflict
from kilo_catalog.service.intake import Intake, formats_of
from kilo_catalog.service.quotas import ProjectQuotas
from kilo_catalog.tasks.flows.blobs import Blobs, Check
from kilo_catalog.tasks.job import Job
from kilo_common.fetch.fetcher import Fetcher, FetchStream


class Source(ABC):
    """The first step of an import."""

    name: ClassVar[str]
    """The step's."""

    @abstractmethod
    def read(self, job: Job) -> WorkBlob:
        """The data, as the import's working blob.

        Raises:
            ImageNotFound: the image was deleted.
            Whatever keeps the data from coming; its sentence is the task's message.
        """


@dataclass(frozen=True)
class StagedSource(Source):
    """`glance-direct`: the data was staged, hashed and inspected. Nothing is left to do."""

    unit_of_work: UnitOfWork
    name = "take"

    def read(self, job: Job) -> WorkBlob:
        image = image_of(self.unit_of_work, job)
        if image.staged is None:
            raise ImportConflict("The staged data is gone; stage it again", image_id=image.id)
        staged = image.staged
        return WorkBlob(
            store=staged.store,
            key=staged.key,
            facts=staged.facts,
            disk_format=image.disk_format,
            container_format=image.container_format,
            own=False,
        )


@dataclass(frozen=True)
class WebSource(Source):
    """`web-download`: from a URL, through the guarded fetcher."""

    unit_of_work: UnitOfWork
    fetcher: Fetcher
    blobs: Blobs
    intake: Intake
    quotas: ProjectQuotas
    name = "download"

    def read(self, job: Job) -> WorkBlob:
        image = image_of(self.unit_of_work, job)
        uri = plan_of(job.task).request.uri
        with self.fetcher.open(uri) as stream:
            return download(self, job, image, stream, formats_of(image))


@dataclass(frozen=True)
class CopySource(Source):
    """`copy-image`: the image's own data, from the first store that has it."""

    unit_of_work: UnitOfWork
    blobs: Blobs
    name = "find"

    def read(self, job: Job) -> WorkBlob:
        image = image_of(self.unit_of_work, job)
        for location in image.locations:
            if location.store in self.blobs.stores:
                return WorkBlob(
                    store=location.store,
                    key=location.key,
                    facts=DataFacts(
                        image.size or 0,
                        image.virtual_size,
                        image.checksum or "",
                        image.os_hash_algo or "",
                        image.os_hash_value or "",
                    ),
                    disk_format=image.disk_format,
                    container_format=image.container_format,
                    own=False,
                )
        raise ImportConflict("None of the stores that have the image is configured", id=image.id)


def image_of(unit_of_work: UnitOfWork, job: Job) -> Image:
    """The task's image. Raises ImageNotFound."""
    return unit_of_work.read(lambda tx: tx.images.get(job.task.image_id or ""))


def download(
    source: "WebSource", job: Job, image: Image, stream: FetchStream, formats: tuple[str, str]
) -> WorkBlob:
    """An answer's body as a working blob, within what the image and its project may have."""
    check = size_check(source.unit_of_work, source.intake, source.quotas, image)
    if stream.length is not None:
        check(stream.length)
    blocks = _blocks(stream, source.blobs.block_size)
    return source.blobs.take_in(job, blocks, formats, total=stream.length, check=check)


def size_check(
    unit_of_work: UnitOfWork, intake: Intake, quotas: ProjectQuotas, image: Image
) -> Check:
    """Raises when an image gets more bytes than it, or its project, may have."""
    room = unit_of_work.read(lambda tx: quotas.stage_room(tx, image.owner))

    def check(size: int) -> None:
        intake.check_size(size)
        room.check(size)

    return check


def _blocks(stream: FetchStream, size: int) -> Iterator[bytes]:
    while block := stream.read(size):
        yield block
