"""Puts the catalog together. The only module that knows concrete classes."""

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from kilo_catalog.app import create_app
from kilo_catalog.config import CatalogSettings
from kilo_catalog.db.base import UnitOfWork
from kilo_catalog.db.sql import SqlUnitOfWork
from kilo_catalog.domain.import_request import ImportMethod
from kilo_catalog.domain.locations import Ranking
from kilo_catalog.http.services import ApiServices, StoreInfo
from kilo_catalog.http.wire import error_body
from kilo_catalog.policy import DEFAULT_RULES
from kilo_catalog.service.access import Access
from kilo_catalog.service.artifact_access import ArtifactAccess
from kilo_catalog.service.artifact_blobs import ArtifactBlobs
from kilo_catalog.service.artifact_types import ArtifactTypes, standard_types
from kilo_catalog.service.artifacts import Artifacts
from kilo_catalog.service.blob_removal import BlobRemoval
from kilo_catalog.service.cache_admin import CacheAdmin
from kilo_catalog.service.conversions import Conversions
from kilo_catalog.service.events import EventRecorder
from kilo_catalog.service.image_cache import ImageCache
from kilo_catalog.service.image_data import ImageData
from kilo_catalog.service.images import Images
from kilo_catalog.service.imports import Imports
from kilo_catalog.service.intake import Intake
from kilo_catalog.service.introspection import Introspection
from kilo_catalog.service.locations import Locations
from kilo_catalog.service.members import Members
from kilo_catalog.service.metadef_access import MetadefAccess
from kilo_catalog.service.metadef_items import MetadefItems
from kilo_catalog.service.metadefs import Metadefs
from kilo_catalog.service.places import Places
from kilo_catalog.service.protections import PropertyProtections, protection_rules
from kilo_catalog.service.quotas import ProjectQuotas
from kilo_catalog.service.resumable import ResumableUploads
from kilo_catalog.service.staging import Staging
from kilo_catalog.service.store_care import StoreCare
from kilo_catalog.service.tags import Tags
from kilo_catalog.service.tasks import Tasks
from kilo_catalog.service.upload_claims import UploadClaims
from kilo_catalog.stores.base import BlobStore, Capability
from kilo_catalog.stores.registry import open_configured
from kilo_catalog.stores.settings import StoreSettings
from kilo_catalog.task_wiring import Collaborators, TaskParts, build_tasks
from kilo_catalog.tasks.bell import Bell
from kilo_catalog.tasks.cache_keeper import CacheKeeper
from kilo_catalog.tasks.lease_renewal import LeaseRenewal
from kilo_catalog.tasks.outbox_relay import OutboxRelay
from kilo_catalog.tasks.reaper import Reaper
from kilo_catalog.tasks.worker import TaskWorker
from kilo_common.bus.notifier import Notifier
from kilo_common.db.database import Database
from kilo_common.db.migrate import Schema
from kilo_common.errors import ConfigInvalid
from kilo_common.fetch.fetcher import Fetcher
from kilo_common.http.gateway import Gateway, GatewayOptions
from kilo_common.http.metrics import HttpMetrics
from kilo_common.lifecycle import Service
from kilo_common.policy import Policy, load_overrides
from kilo_common.runtime import Runtime

SCHEMA = Schema("kilo_catalog.db.migrations", "catalog_version")
_PUBLIC_PATHS = frozenset({"/", "/versions"})


@dataclass(frozen=True)
class CatalogApi:
    """The Image API in one process."""

    app: Gateway
    """The WSGI application, gateway and all."""
    services: tuple[Service, ...]
    """What runs beside it, in the order of its start: renewal of leases, reaper, relay; and the
    worker, if this process works on tasks itself."""
    worker: TaskWorker
    """Works on tasks; it runs only if it is among the services."""
    database: Database
    close: Callable[[], None]
    """Let go of the database, after the services have stopped."""


@dataclass(frozen=True)
class CatalogWorker:
    """What runs beside the API, in a process of its own."""

    services: tuple[Service, ...]
    database: Database
    close: Callable[[], None]


def build_api(
    settings: CatalogSettings, runtime: Runtime, *, with_worker: bool = False
) -> CatalogApi:
    """The Image API over the configured database and stores; with a worker, all in one process.

    Raises:
        ConfigInvalid: a store, the policy or the database's URL is wrong; nothing was opened.
    """
    parts = _Parts(settings, runtime)
    options = GatewayOptions(
        service="catalog",
        error_body=error_body,
        public_paths=_PUBLIC_PATHS,
        cors_origins=settings.http.cors_origins,
        ready=parts.check,
    )
    metrics = HttpMetrics("catalog")
    app = Gateway(create_app(parts.api_services()).wsgi_app, options, runtime.auth, metrics)
    tasks = parts.task_parts()
    services = (
        LeaseRenewal(parts.claims, settings.upload.lease),
        *parts.background(),
        *((parts.keeper,) if parts.keeper else ()),
        *(tasks.services if with_worker else ()),
    )
    return CatalogApi(app, services, tasks.worker, parts.database, parts.database.close)


def build_worker(settings: CatalogSettings, runtime: Runtime) -> CatalogWorker:
    """The background parts over the configured database and stores. Raises as `build_api`."""
    parts = _Parts(settings, runtime)
    services = (*parts.background(), *parts.task_parts().services)
    return CatalogWorker(services, parts.database, parts.database.close)


@contextmanager
def open_metadefs(settings: CatalogSettings, runtime: Runtime) -> Iterator[Metadefs]:
    """The operations on metadata definitions alone, beside whatever else uses the database.
    Raises as `build_api`."""
    parts = _Parts(settings, runtime)
    try:
        yield parts.metadefs(EventRecorder(runtime.clock, runtime.new_id))
    finally:
        parts.database.close()


@contextmanager
def open_store_care(settings: CatalogSettings, runtime: Runtime) -> Iterator[StoreCare]:
    """What an operator does with the stores, beside whatever else uses them. Raises as
    `build_api`."""
    parts = _Parts(settings, runtime)
    try:
        yield StoreCare(
            parts.unit_of_work, parts.stores, parts.removal, parts.events, runtime.clock,
            runtime.new_id,
        )  # fmt: skip
    finally:
        parts.database.close()


class _Parts:
    """What the API and the worker have in common."""

    def __init__(self, settings: CatalogSettings, runtime: Runtime) -> None:
        self.settings = settings
        self.runtime = runtime
        self.policy = _open_policy(settings)
        self.stores = _open_stores(settings)
        self.database = Database(settings.database, runtime.executor)
        self.unit_of_work: UnitOfWork = SqlUnitOfWork(self.database)
        self.protections = PropertyProtections(settings.property_protections, self.policy)
        self.events = EventRecorder(runtime.clock, runtime.new_id, self.protections)
        self.quotas = ProjectQuotas(settings.quotas, settings.project_quotas)
        self.fetcher = Fetcher(settings.imports.fetch, runtime.executor)
        self.claims = UploadClaims(self.unit_of_work, runtime.clock, settings.upload.lease)
        self.removal = BlobRemoval(self.unit_of_work, self.stores, runtime.executor, runtime.clock)
        self.staging_store = settings.staging_store or settings.default_store
        self.offered = {
            name: each
            for name, each in settings.stores.items()
            if name != settings.staging_store or name == settings.default_store
        }
        self.cache = _open_cache(settings, runtime, self.unit_of_work)
        self.keeper = self.cache and CacheKeeper(
            self.cache, self.unit_of_work, self.stores, self.ranking()
        )
        self.intake = Intake(
            self.claims, self.removal, self.stores, self.writable(), runtime.executor,
            settings.limits,
        )  # fmt: skip

    def api_services(self) -> ApiServices:
        """The operations."""
        settings, runtime = self.settings, self.runtime
        access, events, quotas = Access(self.policy), self.events, self.quotas
        images = Images(
            self.unit_of_work, access, events, self.removal, runtime.clock, runtime.new_id,
            settings.limits, quotas, self.protections,
        )  # fmt: skip
        bell = Bell(runtime.transport, runtime.bus_settings.exchange, runtime.new_id)
        conversions = Conversions(
            self.unit_of_work, access, events, images, settings.imports.conversion,
            self.writable(), settings.default_store, runtime.clock, runtime.new_id, quotas,
            bell.ring,
        )  # fmt: skip
        image_data = ImageData(
            self.unit_of_work, access, events, self.claims, self.intake, self.stores,
            settings.default_store, runtime.executor, runtime.clock, runtime.new_id, quotas,
            self.ranking(), conversions, self.cache,
        )  # fmt: skip
        staging = Staging(
            self.unit_of_work, access, events, self.intake, self.staging_store, runtime.clock,
            runtime.new_id, quotas, timedelta(seconds=settings.imports.staged_for),
        )  # fmt: skip
        places = Places(self.stores, tuple(self.offered), self.policy, runtime.executor)
        uploads = ResumableUploads(
            self.unit_of_work, access, self.claims, self.intake, image_data, self.stores,
            settings.default_store, runtime.executor, runtime.clock, runtime.new_id, quotas,
            settings.upload.block_size, timedelta(seconds=settings.upload.lease),
            timedelta(seconds=settings.upload.resumable_for),
        )  # fmt: skip
        imports = Imports(
            self.unit_of_work, access, events, self.fetcher, tuple(settings.imports.regions),
            self.methods(), self.writable(), settings.default_store, runtime.clock,
            runtime.new_id, quotas, places, bell.ring,
        )  # fmt: skip
        tasks = Tasks(
            self.unit_of_work, access, events, images, imports, conversions, self.removal,
            runtime.clock, runtime.new_id,
        )  # fmt: skip
        locations = Locations(
            self.unit_of_work, access, events, self.removal, self.stores, runtime.executor,
            runtime.clock, quotas, places, imports, settings.locations,
        )  # fmt: skip
        artifact_types, artifacts, artifact_blobs = self.artifacts()
        return ApiServices(
            images=images,
            image_data=image_data,
            introspection=Introspection(self.unit_of_work, access),
            staging=staging,
            imports=imports,
            conversions=conversions,
            tasks=tasks,
            locations=locations,
            uploads=uploads,
            clock=runtime.clock,
            cache=CacheAdmin(
                self.unit_of_work,
                access,
                self.cache,
                runtime.clock,
                self.keeper.wake if self.keeper else lambda: None,
            ),
            members=Members(self.unit_of_work, access, events, runtime.clock, settings.limits),
            tags=Tags(self.unit_of_work, access, events, runtime.clock, settings.limits),
            metadefs=self.metadefs(events),
            metadef_items=MetadefItems(
                self.unit_of_work, self.metadef_access(), events, runtime.clock
            ),
            artifacts=artifacts,
            artifact_blobs=artifact_blobs,
            artifact_types=artifact_types,
            quotas=quotas,
            policy=self.policy,
            stores={name: self.store_info(name, each) for name, each in self.offered.items()},
            default_store=settings.default_store,
            limits=settings.limits,
            block_size=settings.upload.block_size,
            public_url=settings.http.public_url,
        )

    def artifacts(self) -> tuple[ArtifactTypes, Artifacts, ArtifactBlobs]:
        """The operations on artifacts."""
        settings, runtime, events = self.settings, self.runtime, self.events
        types = ArtifactTypes(self.unit_of_work, self.policy, standard_types())
        access = ArtifactAccess(self.policy)
        artifacts = Artifacts(
            self.unit_of_work, access, types, events, self.removal,
            runtime.clock, runtime.new_id, settings.limits, settings.artifacts,
        )  # fmt: skip
        blobs = ArtifactBlobs(
            self.unit_of_work, access, artifacts, events, self.removal, self.stores,
            settings.default_store, runtime.executor, runtime.clock, runtime.new_id,
            self.fetcher, settings.artifacts,
        )  # fmt: skip
        return types, artifacts, blobs

    def ranking(self) -> Ranking:
        """The order in which copies of data are read."""
        stores, locations = self.settings.stores, self.settings.locations
        weights = {name: each.weight for name, each in stores.items()}
        drivers = {name: each.driver for name, each in stores.items()}
        return Ranking(locations.strategy, weights, drivers, locations.types)

    def store_info(self, name: str, settings: StoreSettings) -> StoreInfo:
        """What is shown of a store."""
        capabilities = self.stores[name].capabilities
        return StoreInfo(
            settings.driver,
            settings.description,
            settings.weight,
            Capability.WRITE not in capabilities,
            sorted(each.value for each in capabilities),
        )

    def metadefs(self, events: EventRecorder) -> Metadefs:
        """The operations on namespaces of metadata definitions."""
        runtime = self.runtime
        return Metadefs(
            self.unit_of_work, self.metadef_access(), events, runtime.clock, runtime.new_id
        )

    def metadef_access(self) -> MetadefAccess:
        """Who gets to metadata definitions."""
        return MetadefAccess(self.policy, self.settings.limits)

    def methods(self) -> tuple[ImportMethod, ...]:
        """The import methods that can work here."""
        no_region = not self.settings.imports.regions
        missing = {ImportMethod.GLANCE_DOWNLOAD} if no_region else set()
        if len(self.writable()) == len(self.offered):
            missing.add(ImportMethod.LOCATION)  # no store reads what others keep
        return tuple(each for each in self.settings.imports.methods if each not in missing)

    def writable(self) -> tuple[str, ...]:
        """The stores that clients may have data put into."""
        return tuple(
            name for name in self.offered if Capability.WRITE in self.stores[name].capabilities
        )

    def task_parts(self) -> TaskParts:
        """The worker and what it needs."""
        settings, runtime = self.settings, self.runtime
        collaborators = Collaborators(
            self.unit_of_work, self.events, self.removal, self.intake, self.quotas, self.fetcher,
            self.protections, self.stores, self.staging_store,
        )  # fmt: skip
        return build_tasks(settings, runtime, collaborators)

    def background(self) -> tuple[Service, ...]:
        """The reaper and the relay."""
        runtime, upload = self.runtime, self.settings.upload
        notifier = Notifier(
            runtime.transport,
            f"image.{runtime.host}",
            clock=runtime.clock,
            new_id=runtime.new_id,
            topic=runtime.bus_settings.notification_topic,
            exchange=runtime.bus_settings.exchange,
        )
        reaper = Reaper(
            self.claims,
            self.removal,
            self.stores,
            runtime.executor,
            runtime.clock,
            interval=upload.reap_every,
            stale_after=max(upload.stale_after, upload.resumable_for + upload.lease),
        )
        return (reaper, OutboxRelay(self.unit_of_work, notifier, runtime.clock))

    def check(self) -> None:
        """Return if requests can be served."""
        self.unit_of_work.check()
        self.runtime.transport.check()


def _open_policy(settings: CatalogSettings) -> Policy:
    overrides = load_overrides(Path(settings.policy_file)) if settings.policy_file else None
    return Policy({**DEFAULT_RULES, **protection_rules(settings.property_protections)}, overrides)


def _open_cache(
    settings: CatalogSettings, runtime: Runtime, unit_of_work: UnitOfWork
) -> ImageCache | None:
    if not settings.cache.path:
        return None
    store = open_configured(StoreSettings(driver="filesystem", path=settings.cache.path))
    node = settings.cache.node or settings.http.public_url
    if not node:
        node = f"http://{socket.gethostname()}:{settings.http.port}"
    return ImageCache(
        unit_of_work, store, node[:255], runtime.executor, runtime.clock, settings.cache.size
    )


def _open_stores(settings: CatalogSettings) -> Mapping[str, BlobStore]:
    if settings.default_store not in settings.stores:
        raise ConfigInvalid(
            f"catalog.default_store: there is no store {settings.default_store!r}; stores are: "
            f"{', '.join(settings.stores)}",
            key="catalog.default_store",
        )
    if settings.staging_store and settings.staging_store not in settings.stores:
        raise ConfigInvalid(
            f"catalog.staging_store: there is no store {settings.staging_store!r}; stores are: "
            f"{', '.join(settings.stores)}",
            key="catalog.staging_store",
        )
    return {name: open_configured(each) for name, each in settings.stores.items()}
