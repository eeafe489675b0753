"""The interface of import plugins, and of the bench they work on.

An import has its data in a working blob in the staging store. The plugins that the configuration
names (`catalog.imports.plugins`) see it one after the other, in that order; each is one step of the
task. Then the data goes to the image's stores.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from kilo_catalog.domain.image import DataFacts, Image
from kilo_catalog.domain.task import Task
from kilo_catalog.imaging.converters import Converters
from kilo_catalog.stores.base import BlobReader
from kilo_common.clock import Clock
from kilo_common.context import RequestContext


class Workbench(ABC):
    """What a plugin may do with the image in hand. Made for one run of one plugin."""

    image: Image
    """The record as it was when the step began, with this step's changes."""
    context: RequestContext
    """Who asked for the import."""
    task: Task

    @property
    @abstractmethod
    def facts(self) -> DataFacts:
        """What is known of the working blob."""

    @abstractmethod
    def file(self) -> AbstractContextManager[Path]:
        """The working blob as a local file, never to be written: the store's own where it has one,
        otherwise a copy that goes when the block ends.

        Raises:
            StoreUnavailable: it cannot be read.
            ScratchFull: there is no room for the copy.
        """

    @abstractmethod
    def reader(self) -> BlobReader:
        """The working blob as a stream; the caller closes it. Raises StoreUnavailable."""

    @abstractmethod
    def scratch(self) -> Path:
        """A local folder of this step's own; it goes when the step ends. `check` watches over its
        size."""

    @abstractmethod
    def replace(
        self,
        source: Path,
        *,
        disk_format: str | None = None,
        container_format: str | None = None,
    ) -> None:
        """Make the bytes of a local file the working blob, of those formats (as before, if None).

        They are hashed and inspected on their way into the staging store. The blob before is
        removed once the step is recorded.

        Raises:
            FormatRefused: the bytes are not of that format, or not safe.
            ImageTooLarge, QuotaExceeded: there are too many.
            TaskCancelled: see `check`.
            StoreFull, StoreUnavailable: they cannot be kept.
        """

    @abstractmethod
    def set_properties(self, properties: Mapping[str, str]) -> None:
        """Give the image these properties when the step is recorded; others stay as they are.

        Raises:
            LimitExceeded: it would have too many.
        """

    @abstractmethod
    def drop_properties(self, names: Collection[str]) -> None:
        """Take these properties from the image when the step is recorded, those it has of them."""

    @abstractmethod
    def progress(self, fraction: float) -> None:
        """Say how far the step is, from 0 to 1. Cheap: it is passed on now and then."""

    @abstractmethod
    def check(self) -> None:
        """Return if the work is still wanted; to be called often, also from other threads.

        Raises:
            TaskCancelled: it is not; end at once.
            TaskLost: another worker has the task now; end at once.
            ScratchFull: the scratch folder has grown too large.
        """


@dataclass(frozen=True)
class PluginTools:
    """What a plugin is made with, after the catalog's settings."""

    executor: Executor
    """For all that would keep this process from serving: reading, computing."""
    converters: Converters
    clock: Clock


class ImportPlugin(ABC):
    """One thing that is done to data on its way in. Plugins are made once and hold no task.

    A class is made with `(settings, tools)`: `CatalogSettings` and `PluginTools`.
    """

    name: ClassVar[str]
    """The name in `catalog.imports.plugins`, and of the task's step `plugin:NAME`."""

    @property
    def active(self) -> bool:
        """Whether the configuration leaves it anything to do at all; otherwise no task has a step
        of it."""
        return True

    @abstractmethod
    def wanted(self, bench: Workbench) -> bool:
        """Whether this plugin has anything to do with this image. Looks at facts and the record."""

    @abstractmethod
    def run(self, bench: Workbench) -> None:
        """Do it. Whatever it raises fails the import with that error's sentence.

        It may run again from its beginning: after the death of a worker the step starts over, with
        the working blob and the properties as the step before has left them.
        """
