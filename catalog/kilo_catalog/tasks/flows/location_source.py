"""`location`: the data stays where it is; it is read once, to know what it is."""

from dataclasses import dataclass
from typing import Any

import msgspec

from kilo_catalog.db.base import UnitOfWork
from kilo_catalog.domain.image import DataFacts, Location
from kilo_catalog.domain.import_request import ImportRequest, plan_of
from kilo_catalog.domain.import_work import ImportWork, WorkBlob
from kilo_catalog.errors import ImportInvalid, LocationInvalid
from kilo_catalog.service.intake import Intake, formats_of
from kilo_catalog.service.quotas import ProjectQuotas
from kilo_catalog.tasks.flows.blobs import Blobs
from kilo_catalog.tasks.flows.sources import Source, image_of
from kilo_catalog.tasks.job import Job


@dataclass(frozen=True)
class LocationSource(Source):
    """Hashes and inspects a blob where it is."""

    unit_of_work: UnitOfWork
    blobs: Blobs
    intake: Intake
    quotas: ProjectQuotas
    name = "look"

    def read(self, job: Job) -> ImportWork:
        image = image_of(self.unit_of_work, job)
        formats = formats_of(image)
        place = _place_of(job.task.input)
        room = self.unit_of_work.read(lambda tx: self.quotas.room(tx, image.owner))

        def check(size: int) -> None:
            self.intake.check_size(size)
            room.check(size)

        facts = self.blobs.look_at(job, place, formats, check)
        _compare(plan_of(job.task).request, facts)
        blob = WorkBlob(
            store=place.store,
            key=place.key,
            ours=place.ours,
            facts=facts,
            disk_format=formats[0],
            container_format=formats[1],
            own=False,
        )
        return ImportWork(blob=blob)


def _place_of(given: Any) -> Location:
    try:
        return msgspec.convert(given.get("place"), Location)
    except msgspec.ValidationError as fault:
        raise ImportInvalid("The task does not say where its data is") from fault


def _compare(request: ImportRequest, facts: DataFacts) -> None:
    """Refuse data that is not what the client said."""
    wrong = [
        name
        for name, said, found in (
            ("os_hash_value", request.hash_value, facts.os_hash_value),
            ("checksum", request.checksum, facts.checksum),
        )
        if said and said != found
    ]
    if wrong:
        raise LocationInvalid(
            f"The data is not what was said of it: it has another {wrong[0]}. Name the right "
            "location, or leave out validation_data"
        )
