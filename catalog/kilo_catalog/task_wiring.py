"""Puts together what works on tasks: flows, plugins, the worker. A part of `wiring`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from kilo_catalog.config import CatalogSettings
from kilo_catalog.db.base import UnitOfWork
from kilo_catalog.domain.conversion import TARGETS
from kilo_catalog.domain.import_request import ImportMethod
from kilo_catalog.imaging.converters import Converters
from kilo_catalog.service.blob_removal import BlobRemoval
from kilo_catalog.service.events import EventRecorder
from kilo_catalog.service.intake import Intake
from kilo_catalog.service.protections import PropertyProtections
from kilo_catalog.service.quotas import ProjectQuotas
from kilo_catalog.stores.base import BlobStore
from kilo_catalog.tasks.bell import listen
from kilo_catalog.tasks.flow import Flow
from kilo_catalog.tasks.flows.blobs import Blobs
from kilo_catalog.tasks.flows.convert_image import ConvertFlow
from kilo_catalog.tasks.flows.import_image import ImportFlow
from kilo_catalog.tasks.flows.location_source import LocationSource
from kilo_catalog.tasks.flows.plugging import Plugging
from kilo_catalog.tasks.flows.regions import Region
from kilo_catalog.tasks.flows.sources import (
    CopySource,
    Download,
    RegionSource,
    Source,
    StagedSource,
    WebSource,
)
from kilo_catalog.tasks.job import JobTools
from kilo_catalog.tasks.plugins.base import ImportPlugin, PluginTools
from kilo_catalog.tasks.plugins.convert import ConvertAsAsked
from kilo_catalog.tasks.runner import Runner
from kilo_catalog.tasks.worker import TaskWorker
from kilo_common.errors import ConfigInvalid
from kilo_common.fetch.fetcher import Fetcher
from kilo_common.lifecycle import Service
from kilo_common.registry import Driver, DriverTable
from kilo_common.runtime import Runtime

PLUGINS = DriverTable(
    "import plugin",
    {
        "signature": Driver("kilo_catalog.tasks.plugins.signature:VerifySignature"),
        "decompress": Driver("kilo_catalog.tasks.plugins.decompress:Decompress"),
        "convert": Driver("kilo_catalog.tasks.plugins.convert:Convert"),
        "introspect": Driver("kilo_catalog.tasks.plugins.introspect:Introspect"),
        "metadata": Driver("kilo_catalog.tasks.plugins.metadata:InjectMetadata"),
    },
    group="kilostack.import_plugins",
)
"""The plugins by name; each is made with the catalog's settings and `PluginTools`."""


@dataclass(frozen=True)
class Collaborators:
    """What the flows share with the requests."""

    unit_of_work: UnitOfWork
    events: EventRecorder
    removal: BlobRemoval
    intake: Intake
    quotas: ProjectQuotas
    fetcher: Fetcher
    protections: PropertyProtections
    stores: Mapping[str, BlobStore]
    staging_store: str


@dataclass(frozen=True)
class TaskParts:
    """A worker, not yet started."""

    worker: TaskWorker
    services: tuple[Service, ...]
    """The worker, and what tells it of new tasks."""


def build_tasks(settings: CatalogSettings, runtime: Runtime, shared: Collaborators) -> TaskParts:
    """The worker of this process.

    Raises:
        ConfigInvalid: there is no such plugin, or a region cannot be asked.
    """
    imports = settings.imports
    tools = JobTools(
        shared.unit_of_work,
        shared.events,
        shared.removal,
        runtime.clock,
        runtime.new_id,
        timedelta(seconds=imports.lease),
    )
    flows = {each: flow for flow in _flows(settings, runtime, shared) for each in flow.types}
    worker = TaskWorker(
        Runner(flows, runtime.clock, imports.attempts),
        tools,
        name=runtime.host,
        concurrency=imports.concurrency,
        per_project=imports.per_project,
    )
    exchange = runtime.bus_settings.exchange
    bell = listen(runtime.transport, exchange, runtime.host, worker, runtime.new_id)
    return TaskParts(worker, (worker, bell))


def _flows(settings: CatalogSettings, runtime: Runtime, shared: Collaborators) -> Sequence[Flow]:
    blobs = Blobs(shared.stores, shared.staging_store, runtime.executor, settings.upload.block_size)
    plugging = Plugging(
        shared.unit_of_work,
        blobs,
        shared.intake,
        shared.quotas,
        settings.limits,
        runtime.clock,
        Path(settings.imports.scratch),
        settings.imports.scratch_limit,
    )
    conversion = settings.imports.conversion
    if conversion.target and conversion.target not in TARGETS:
        raise ConfigInvalid(
            f"catalog.imports.conversion.target: {conversion.target!r} is none of: "
            f"{', '.join(sorted(TARGETS))}"
        )
    longest = min(settings.imports.scratch_limit, settings.limits.image_size)
    converters = Converters(conversion, runtime.executor, runtime.clock, longest)
    tools = PluginTools(runtime.executor, converters, runtime.clock)
    made = [_plugin(name, settings, tools) for name in settings.imports.plugins]
    plugins = [each for each in made if each.active]
    after = [_plugin("introspect", settings, tools)]
    return (
        ConvertFlow(
            shared.unit_of_work,
            plugging,
            [ConvertAsAsked(tools), *after],
            blobs,
            shared.events,
            shared.quotas,
            runtime.clock,
        ),
        ImportFlow(
            _sources(settings, runtime, shared, blobs),
            plugging,
            plugins,
            blobs,
            shared.events,
            shared.quotas,
            settings.limits,
            runtime.clock,
        ),
    )


def _sources(
    settings: CatalogSettings, runtime: Runtime, shared: Collaborators, blobs: Blobs
) -> Mapping[ImportMethod, Source]:
    """Where each import method gets its data from."""
    download = Download(shared.unit_of_work, blobs, shared.intake, shared.quotas)
    regions = {
        name: Region(name, each, settings.imports.fetch, runtime.executor)
        for name, each in settings.imports.regions.items()
    }
    return {
        ImportMethod.GLANCE_DIRECT: StagedSource(shared.unit_of_work),
        ImportMethod.WEB_DOWNLOAD: WebSource(shared.fetcher, download),
        ImportMethod.COPY_IMAGE: CopySource(shared.unit_of_work, blobs),
        ImportMethod.LOCATION: LocationSource(
            shared.unit_of_work, blobs, shared.intake, shared.quotas
        ),
        ImportMethod.GLANCE_DOWNLOAD: RegionSource(
            regions, download, shared.protections, settings.limits
        ),
    }


def _plugin(name: str, settings: CatalogSettings, tools: PluginTools) -> ImportPlugin:
    plugin = PLUGINS.load(name)(settings, tools)
    if not isinstance(plugin, ImportPlugin):
        raise ConfigInvalid(f"The import plugin {name!r} is not an ImportPlugin", plugin=name)
    return plugin
