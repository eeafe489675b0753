"""Puts the catalog together. The only module that knows concrete classes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kilo_catalog.app import create_app
from kilo_catalog.config import CatalogSettings
from kilo_catalog.db.base import UnitOfWork
from kilo_catalog.db.sql import SqlUnitOfWork
from kilo_catalog.http.services import ApiServices, StoreInfo
from kilo_catalog.http.wire import error_body
from kilo_catalog.policy import DEFAULT_RULES
from kilo_catalog.service.access import Access
from kilo_catalog.service.blob_removal import BlobRemoval
from kilo_catalog.service.events import EventRecorder
from kilo_catalog.service.image_data import ImageData
from kilo_catalog.service.images import Images
from kilo_catalog.service.members import Members
from kilo_catalog.service.quotas import ProjectQuotas
from kilo_catalog.service.tags import Tags
from kilo_catalog.service.upload_claims import UploadClaims
from kilo_catalog.stores.base import BlobStore
from kilo_catalog.stores.registry import open_store
from kilo_catalog.tasks.lease_renewal import LeaseRenewal
from kilo_catalog.tasks.outbox_relay import OutboxRelay
from kilo_catalog.tasks.reaper import Reaper
from kilo_common.bus.notifier import Notifier
from kilo_common.db.database import Database
from kilo_common.db.migrate import Schema
from kilo_common.errors import ConfigInvalid
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
    """What runs beside it, in the order of its start: renewal of leases, reaper, relay."""
    database: Database
    close: Callable[[], None]
    """Let go of the database, after the services have stopped."""


@dataclass(frozen=True)
class CatalogWorker:
    """What runs beside the API, in a process of its own."""

    services: tuple[Service, ...]
    database: Database
    close: Callable[[], None]


def build_api(settings: CatalogSettings, runtime: Runtime) -> CatalogApi:
    """The Image API over the configured database and stores.

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
    services = (LeaseRenewal(parts.claims, settings.upload.lease), *parts.background())
    return CatalogApi(app, services, parts.database, parts.database.close)


def build_worker(settings: CatalogSettings, runtime: Runtime) -> CatalogWorker:
    """The background parts over the configured database and stores. Raises as `build_api`."""
    parts = _Parts(settings, runtime)
    return CatalogWorker(parts.background(), parts.database, parts.database.close)


class _Parts:
    """What the API and the worker have in common."""

    def __init__(self, settings: CatalogSettings, runtime: Runtime) -> None:
        self.settings = settings
        self.runtime = runtime
        self.policy = _open_policy(settings)
        self.stores = _open_stores(settings)
        self.database = Database(settings.database, runtime.executor)
        self.unit_of_work: UnitOfWork = SqlUnitOfWork(self.database)
        self.claims = UploadClaims(self.unit_of_work, runtime.clock, settings.upload.lease)
        self.removal = BlobRemoval(self.unit_of_work, self.stores, runtime.executor, runtime.clock)

    def api_services(self) -> ApiServices:
        """The operations."""
        settings, runtime = self.settings, self.runtime
        access = Access(self.policy)
        events = EventRecorder(runtime.clock, runtime.new_id)
        quotas = ProjectQuotas(settings.quotas, settings.project_quotas)
        images = Images(
            self.unit_of_work, access, events, self.removal, runtime.clock, runtime.new_id,
            settings.limits, quotas,
        )  # fmt: skip
        image_data = ImageData(
            self.unit_of_work, access, events, self.claims, self.removal, self.stores,
            settings.default_store, runtime.executor, runtime.clock, runtime.new_id,
            settings.limits, quotas,
        )  # fmt: skip
        return ApiServices(
            images=images,
            image_data=image_data,
            members=Members(self.unit_of_work, access, events, runtime.clock, settings.limits),
            tags=Tags(self.unit_of_work, access, events, runtime.clock, settings.limits),
            quotas=quotas,
            policy=self.policy,
            stores={
                name: StoreInfo(each.driver, each.description)
                for name, each in settings.stores.items()
            },
            default_store=settings.default_store,
            limits=settings.limits,
            block_size=settings.upload.block_size,
            public_url=settings.http.public_url,
        )

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
            stale_after=upload.stale_after,
        )
        return (reaper, OutboxRelay(self.unit_of_work, notifier, runtime.clock))

    def check(self) -> None:
        """Return if requests can be served."""
        self.unit_of_work.check()
        self.runtime.transport.check()


def _open_policy(settings: CatalogSettings) -> Policy:
    overrides = load_overrides(Path(settings.policy_file)) if settings.policy_file else None
    return Policy(DEFAULT_RULES, overrides)


def _open_stores(settings: CatalogSettings) -> Mapping[str, BlobStore]:
    if settings.default_store not in settings.stores:
        raise ConfigInvalid(
            f"catalog.default_store: there is no store {settings.default_store!r}; stores are: "
            f"{', '.join(settings.stores)}",
            key="catalog.default_store",
        )
    return {name: open_store(each.driver, each.path) for name, each in settings.stores.items()}
