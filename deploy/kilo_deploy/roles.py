"""The parts of a stack as processes of their own, joined by a broker."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from kilo_catalog import wiring as catalog_wiring
from kilo_common.bus.transport import Capability
from kilo_common.db.migrate import Schema, current_revision
from kilo_common.errors import ConfigInvalid
from kilo_common.http.gateway import WSGIApplication
from kilo_common.identity import wiring as identity_wiring
from kilo_common.identity.strategy import url_of
from kilo_common.lifecycle import Service
from kilo_common.runtime import Runtime
from kilo_common.settings import DatabaseSettings, HttpSettings
from kilo_deploy.config import StackSettings
from kilo_messaging import wiring as messaging_wiring


@dataclass(frozen=True)
class Part:
    """A role, put together but not started."""

    services: tuple[Service, ...]
    close: Callable[[], None]
    app: WSGIApplication | None = None
    http: HttpSettings | None = None
    extra_ports: tuple[int, ...] = ()


def _catalog_api(settings: StackSettings, runtime: Runtime) -> Part:
    _check_schema(settings.catalog.database, catalog_wiring.SCHEMA, "catalog")
    api = catalog_wiring.build_api(settings.catalog, runtime)
    return Part(api.services, api.close, api.app, settings.catalog.http)


def _catalog_worker(settings: StackSettings, runtime: Runtime) -> Part:
    _check_schema(settings.catalog.database, catalog_wiring.SCHEMA, "catalog")
    worker = catalog_wiring.build_worker(settings.catalog, runtime)
    return Part(worker.services, worker.close)


def _messaging(settings: StackSettings, runtime: Runtime) -> Part:
    if schema := messaging_wiring.schema_of(settings.messaging):
        _check_schema(settings.messaging.database, schema, "messaging")
    api = messaging_wiring.build(settings.messaging, runtime)
    extra = (settings.messaging.websocket_port,) if settings.messaging.websocket_port else ()
    return Part(api.services, api.close, api.app, settings.messaging.http, extra)


def _notifier(settings: StackSettings, runtime: Runtime) -> Part:
    schema = messaging_wiring.schema_of(settings.messaging)
    if schema is not None:
        _check_schema(settings.messaging.database, schema, "messaging")
    notifier = messaging_wiring.build_notifier(settings.messaging, runtime)
    return Part(notifier.services, notifier.close)


def _identity(settings: StackSettings, runtime: Runtime) -> Part:
    auth = settings.auth
    if auth.strategy != "dev":
        raise ConfigInvalid(
            f"auth.strategy is {auth.strategy!r}: the built-in identity service is for 'dev'.",
            key="auth.strategy",
        )
    api = identity_wiring.build(auth.dev, runtime.clock)
    messaging = settings.messaging
    websocket = msgspec.structs.replace(
        messaging.http, port=messaging.websocket_port or messaging.http.port
    )
    api.catalog.publish("identity", url_of(auth.dev.http))
    api.catalog.publish("image", url_of(settings.catalog.http))
    api.catalog.publish("messaging", url_of(messaging.http))
    api.catalog.publish("messaging-websocket", url_of(websocket).replace("http", "ws", 1))
    return Part((), lambda: None, api.app, auth.dev.http)


ROLES: dict[str, Callable[[StackSettings, Runtime], Part]] = {
    "catalog-api": _catalog_api,
    "catalog-worker": _catalog_worker,
    "messaging": _messaging,
    "notifier": _notifier,
    "identity": _identity,
}
WITHOUT_PORT = frozenset({"catalog-worker", "notifier"})


def build_role(role: str, settings: StackSettings, runtime: Runtime) -> Part:
    """The part named `role`.

    Raises:
        ConfigInvalid: the bus joins no processes, or a database is not at the right revision.
    """
    if Capability.BETWEEN_PROCESSES not in runtime.transport.capabilities:
        raise ConfigInvalid(
            f"bus.url is {settings.bus.url!r}, which ends at the process: separate processes need "
            "a broker, such as rabbit://guest:guest@127.0.0.1:5672/ "
            "(or run all in one: kilostack up).",
            key="bus.url",
        )
    return ROLES[role](settings, runtime)


def _check_schema(database: DatabaseSettings, schema: Schema, name: str) -> None:
    present = current_revision(database, schema)
    if present != schema.head:
        raise ConfigInvalid(
            f"The {name} database is at revision {present or 'none'}, and this release needs "
            f"{schema.head}: run 'kilostack db upgrade' first.",
            present=present,
            needed=schema.head,
        )
