"""Puts the queue service together: the one place that knows which classes it is made of."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from kilo_common.bus.listener import NotificationListener
from kilo_common.bus.target import Target
from kilo_common.db.database import Database
from kilo_common.http.gateway import (
    Environ,
    Gateway,
    GatewayOptions,
    WSGIApplication,
    request_headers,
)
from kilo_common.http.metrics import HttpMetrics
from kilo_common.http.upgrade import ENDING_KEY
from kilo_common.lifecycle import Service
from kilo_common.policy import Policy, load_overrides
from kilo_common.runtime import Runtime
from kilo_messaging.config import MessagingSettings
from kilo_messaging.policy import DEFAULTS
from kilo_messaging.protocol.actions import ACTIONS
from kilo_messaging.protocol.connection import Connection
from kilo_messaging.protocol.core import Dispatcher
from kilo_messaging.protocol.faults import error_body
from kilo_messaging.protocol.session import Form, Phase, Session
from kilo_messaging.service.arrivals import never
from kilo_messaging.service.declaration import EVENT_PRIORITIES
from kilo_messaging.service.desk import Desk
from kilo_messaging.service.events import EventPoster
from kilo_messaging.service.operations import Operations, make_operations
from kilo_messaging.service.push import PUSH_TOPIC, Deliver, PushHub
from kilo_messaging.service.sharing import GetKey, SignedOrKnown
from kilo_messaging.service.subscriptions import ConnectionSubscriptions
from kilo_messaging.service.sweeper import Sweeper
from kilo_messaging.storage.base import Stores
from kilo_messaging.storage.key_file import KeyFile
from kilo_messaging.storage.sql.store import SCHEMA, open_sql_store
from kilo_messaging.transport.http.app import MessagingApp
from kilo_messaging.transport.websocket import OpenSession, WebSocketServer

__all__ = ["SCHEMA", "MessagingApi", "build", "build_over"]

EVENTS_POOL = "messaging"
_SPARE = 4096
"""Bytes that a request's body may have beyond the messages or the metadata in it."""
_IDENTITY_HEADERS = frozenset(
    {"client-id", "x-auth-token", "x-project-id", "x-roles", "x-user-id", "authorization"}
)


@dataclass(frozen=True)
class MessagingApi:
    """The service, put together but not started."""

    app: WSGIApplication
    """HTTP and WebSocket, for one listener or several."""
    services: tuple[Service, ...]
    """What runs beside the requests."""
    operations: Operations
    database: Database | None
    close: Callable[[], None]
    """Let go of the database; to be called after everything has stopped."""


def build(settings: MessagingSettings, runtime: Runtime) -> MessagingApi:
    """The service over its database, whose schema must be up to date.

    Raises:
        ConfigInvalid: the database's URL or the policy file is wrong.
    """
    database = Database(settings.database, runtime.executor)
    return build_over(open_sql_store(database), settings, runtime, database)


def build_over(
    stores: Stores,
    settings: MessagingSettings,
    runtime: Runtime,
    database: Database | None = None,
) -> MessagingApi:
    """The service over any store."""
    desk = Desk(stores, _policy(settings), settings.limits, runtime.clock, runtime.new_id)
    address = Target(PUSH_TOPIC, exchange=runtime.bus_settings.exchange, fanout=True).address
    hub = PushHub(runtime.transport, address, f"{runtime.host}.{runtime.new_id()}")
    get_key = _signing_key(settings)
    operations = make_operations(desk, hub, get_key, frozenset({settings.events.topic}))
    runtime = replace(runtime, auth=SignedOrKnown(runtime.auth, get_key, desk.now))
    dispatcher = Dispatcher(operations, ACTIONS)
    websocket = WebSocketServer(
        _session_opener(desk, hub, dispatcher, settings, runtime),
        settings.websocket,
        runtime.clock,
        settings.http.cors_origins,
    )
    limit = max(settings.limits.post, settings.limits.metadata) + _SPARE
    app = MessagingApp(dispatcher, websocket, body_limit=limit)
    return MessagingApi(
        app=_gateway(app, stores, settings, runtime),
        services=_services(operations, hub, settings, runtime),
        operations=operations,
        database=database,
        close=database.close if database else lambda: None,
    )


def _gateway(
    app: MessagingApp, stores: Stores, settings: MessagingSettings, runtime: Runtime
) -> Gateway:
    def ready() -> None:
        stores.check()
        runtime.transport.check()

    options = GatewayOptions(
        service="messaging",
        error_body=error_body,
        open_upgrades=True,
        cors_origins=settings.http.cors_origins,
        ready=ready,
    )
    return Gateway(app, options, runtime.auth, HttpMetrics("messaging"))


def _services(
    operations: Operations, hub: PushHub, settings: MessagingSettings, runtime: Runtime
) -> tuple[Service, ...]:
    sweeper = Sweeper(
        operations.desk.stores.messages,
        runtime.clock,
        interval=settings.sweep_interval,
        key_window=settings.events.window,
    )
    if not settings.events.enabled:
        return (hub, sweeper)
    listener = NotificationListener(
        runtime.transport,
        EventPoster(operations.messages, settings.events.topic),
        topic=runtime.bus_settings.notification_topic,
        exchange=runtime.bus_settings.exchange,
        priorities=EVENT_PRIORITIES,
        # A pool's name is that of a queue on the broker: deployments with topics of their own
        # that share a broker must not share the queue.
        pool=f"{runtime.bus_settings.notification_topic}.{EVENTS_POOL}",
    )
    return (hub, sweeper, listener)


def _session_opener(
    desk: Desk,
    hub: PushHub,
    dispatcher: Dispatcher,
    settings: MessagingSettings,
    runtime: Runtime,
) -> OpenSession:
    def open_session(
        environ: Environ, deliver: Deliver
    ) -> tuple[Callable[[bytes, Form], bytes], Callable[[], Form], Callable[[], None]]:
        known = {
            name: text
            for name, text in request_headers(environ).items()
            if name in _IDENTITY_HEADERS
        }
        session = Session(known, echo_limit=settings.websocket.echo_limit)
        subscriptions = ConnectionSubscriptions(
            desk, hub, deliver, most=settings.websocket.max_subscriptions
        )
        ending = environ.get(ENDING_KEY, never)
        connection = Connection(desk, dispatcher, runtime.auth, session, subscriptions, ending)

        def close() -> None:
            subscriptions.close()
            session.move(Phase.CLOSED)

        return connection.handle, lambda: session.push_form, close

    return open_session


def _signing_key(settings: MessagingSettings) -> GetKey:
    own = settings.signed_urls.key.encode()
    return (lambda: own) if own else KeyFile(Path(settings.signed_urls.key_file))


def _policy(settings: MessagingSettings) -> Policy:
    overrides = load_overrides(Path(settings.policy_file)) if settings.policy_file else None
    return Policy(DEFAULTS, overrides)
