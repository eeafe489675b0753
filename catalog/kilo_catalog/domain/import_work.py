"""What an import's task remembers between its steps. Kept in the task's record, as JSON values."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from kilo_catalog.domain.image import DataFacts, Image, Location
from kilo_catalog.domain.task import Task


class WorkBlob(Struct, frozen=True, kw_only=True):
    """The data in hand."""

    store: str
    key: str
    facts: DataFacts
    disk_format: str | None
    container_format: str | None
    ours: bool = True
    """See `Location.ours`."""
    own: bool
    """Made by this task, so removed by it; staged data and an image's copy are not."""

    @property
    def location(self) -> Location:
        """Where it is."""
        return Location(self.store, self.key, ours=self.ours)


class ImportWork(Struct, frozen=True, kw_only=True):
    """How far an import is."""

    blob: WorkBlob | None = None
    placed: tuple[Location, ...] = ()
    """The copies that this task has given the image."""
    missed: Mapping[str, str] = {}
    """Stores that could not be given one, each with its reason."""
    properties: Mapping[str, str] = {}
    """What plugins found out, for the image's record."""
    dropped: tuple[str, ...] = ()
    """Properties that the image is not to have any more."""


def work_of(task: Task) -> ImportWork:
    """What the task's record says."""
    return msgspec.convert(task.state, ImportWork)


def state_of(work: ImportWork) -> dict[str, Any]:
    """`work` as the task's record keeps it."""
    state: dict[str, Any] = msgspec.to_builtins(work)
    return state


def with_work(image: Image, work: ImportWork) -> Image:
    """`image` with what the import has made of it so far: formats and properties."""
    if work.blob is None:
        return image
    kept = {name: each for name, each in image.properties.items() if name not in work.dropped}
    return msgspec.structs.replace(
        image,
        disk_format=work.blob.disk_format,
        container_format=work.blob.container_format,
        properties={**kept, **work.properties},
    )
