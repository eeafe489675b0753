"""Puts the queue service together: the one place that knows which classes it is made of."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from kilo_common.bus.listener import NotificationListener
from kilo_common.bus.target import Target
from kilo_common.bus.transport import Capability
from kilo_common.clock import ShiftedClock
from kilo_common.db.database import Database
from kilo_common.db.migrate import Schema
from kilo_common.errors import ConfigInvalid
from kilo_common.http.gateway import (
    Environ,
    Gateway,
    GatewayOptions,
    RequestHeaders,
    WSGIApplication,
)
from kilo_common.http.metrics import HttpMetrics
from kilo_common.http.upgrade import ENDING_KEY
from kilo_common.lifecycle import Service
from kilo_common.policy import Policy, load_overrides
from kilo_common.registry import Driver, DriverTable
from kilo_common.runtime import Runtime
from kilo_messaging.config import MessagingSettings
from kilo_messaging.delivery.outgoing import Outgoing
from kilo_messaging.policy import DEFAULTS
from kilo_messaging.pool_stores import PoolStores
from kilo_messaging.protocol.actions import ACTIONS
from kilo_messaging.protocol.connection import Connection, is_known
from kilo_messaging.protocol.core import Dispatcher
from kilo_messaging.protocol.faults import error_body
from kilo_messaging.protocol.pipeline import Pipeline
from kilo_messaging.protocol.session import Phase, Session
from kilo_messaging.service.arrivals import never
from kilo_messaging.service.connection_subscriptions import ConnectionSubscriptions, PushLine
from kilo_messaging.service.declaration import EVENT_PRIORITIES
from kilo_messaging.service.desk import Desk
from kilo_messaging.service.events import EventPoster
from kilo_messaging.service.following import Following
from kilo_messaging.service.operations import Operations, make_operations
from kilo_messaging.service.push import PUSH_TOPIC, PushHub
from kilo_messaging.service.rates import ProjectRates
from kilo_messaging.service.sharing import GetKey, SignedOrKnown
from kilo_messaging.service.sweeper import Sweeper
from kilo_messaging.storage.base import Stores
from kilo_messaging.storage.key_file import KeyFile
from kilo_messaging.storage.pools.placing import Pools
from kilo_messaging.storage.pools.router import Router, RouterTimes
from kilo_messaging.storage.pools.stores import placing_stores
from kilo_messaging.storage.redis.url import is_redis
from kilo_messaging.storage.sealing.seal import Seal
from kilo_messaging.storage.sealing.stores import sealing_stores
from kilo_messaging.storage.sql.store import SCHEMA, open_sql_store
from kilo_messaging.transport.http.app import MessagingApp
from kilo_messaging.transport.http.event_stream import EventStreams, StreamTimes, with_signed_query
from kilo_messaging.transport.websocket import OpenedSession, OpenSession, WebSocketServer

__all__ = [
    "SCHEMA",
    "MessagingApi",
    "Notifier",
    "build",
    "build_notifier",
    "build_over",
    "schema_of",
]

STORES = DriverTable(
    "message store",
    {
        "redis": Driver("kilo_messaging.storage.redis.store:open_redis_store", "kilostack[redis]"),
    },
)

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
    """Let go of the store; to be called after everything has stopped."""


def schema_of(settings: MessagingSettings) -> Schema | None:
    """The schema that the store must be brought up to; None where it needs none."""
    return None if is_redis(settings.database.url) else SCHEMA


@dataclass(frozen=True)
class Notifier:
    """What delivers to subscribers, put together but not started."""

    services: tuple[Service, ...]
    close: Callable[[], None]


def build(settings: MessagingSettings, runtime: Runtime) -> MessagingApi:
    """The service over its store, whose schema must be up to date.

    Raises:
        ConfigInvalid: the store's URL or the policy file is wrong, or the store would lose what it
            acknowledges.
        DriverUnavailable: the store needs a package that is not installed.
        Unavailable: the store does not answer.
    """
    stores, database = _open_stores(settings, runtime)
    return build_over(stores, settings, runtime, database)


def build_over(
    stores: Stores,
    settings: MessagingSettings,
    runtime: Runtime,
    database: Database | None = None,
) -> MessagingApi:
    """The service over any store.

    Raises:
        ConfigInvalid: a clock for tests is wanted where messages must not be lost.
    """
    runtime = _with_test_clock(settings, runtime)
    stores, pools = _with_pools(stores, settings, runtime)
    desk = _desk(stores, settings, runtime)
    hub = _hub(runtime)
    get_key = _signing_key(settings)
    posts = Outgoing(settings, runtime, get_key)
    operations = make_operations(
        desk,
        hub,
        get_key,
        posts.rules,
        posts.hooks,
        placing=pools,
        main_uri=settings.database.url,
        service_topics=frozenset({settings.events.topic}),
        wake=posts.wake,
    )
    runtime = replace(runtime, auth=SignedOrKnown(runtime.auth, get_key, desk.now))
    rates = ProjectRates(settings.rate.requests, settings.rate.burst, runtime.clock)
    dispatcher = Dispatcher(operations, ACTIONS, rates)
    following = Following(stores.messages, desk.now, hub.arrivals)
    websocket = WebSocketServer(
        _session_opener(desk, hub, following, dispatcher, settings, runtime),
        settings.websocket,
        runtime.clock,
        settings.http.cors_origins,
    )
    limit = max(settings.limits.post, settings.limits.metadata) + _SPARE
    times = StreamTimes(settings.websocket.ping_interval, settings.websocket.auth_interval)
    streams = EventStreams(desk, following, runtime.clock, times)
    known = partial(is_known, runtime.auth)
    app = MessagingApp(
        dispatcher, websocket, streams, known, body_limit=limit, limits=_limits(settings)
    )
    return MessagingApi(
        app=with_signed_query(_gateway(app, stores, settings, runtime)),
        services=(
            *_services(operations, hub, settings, runtime),
            following,
            *posts.services(operations, deliver=settings.deliveries.enabled),
        ),
        operations=operations,
        database=database,
        close=stores.close,
    )


def build_notifier(settings: MessagingSettings, runtime: Runtime) -> Notifier:
    """What delivers to subscribers, in a process of its own. Raises as `build`."""
    opened, _database = _open_stores(settings, runtime)
    stores, pools = _with_pools(opened, settings, runtime)
    desk = _desk(stores, settings, runtime)
    hub = _hub(runtime)
    get_key = _signing_key(settings)
    posts = Outgoing(settings, runtime, get_key)
    operations = make_operations(
        desk,
        hub,
        get_key,
        posts.rules,
        posts.hooks,
        placing=pools,
        main_uri=settings.database.url,
        wake=posts.wake,
    )
    hub.arrivals.on_ring(posts.wake.ring)
    return Notifier((hub, *posts.services(operations, deliver=True)), stores.close)


def _with_test_clock(settings: MessagingSettings, runtime: Runtime) -> Runtime:
    """The runtime, with a clock that tests may set where the settings want one.

    Raises:
        ConfigInvalid: messages must not be lost.
    """
    if not settings.test_clock:
        return runtime
    if settings.durable:
        raise ConfigInvalid(
            "messaging.test_clock is for stacks whose messages may be lost: start with "
            "--ephemeral, or set messaging.durable = false",
            key="messaging.test_clock",
        )
    return replace(runtime, clock=ShiftedClock(runtime.clock))


def _hub(runtime: Runtime) -> PushHub:
    """Where what is posted is told to the other processes."""
    address = Target(PUSH_TOPIC, exchange=runtime.bus_settings.exchange, fanout=True).address
    return PushHub(runtime.transport, address, f"{runtime.host}.{runtime.new_id()}")


def _open_stores(settings: MessagingSettings, runtime: Runtime) -> tuple[Stores, Database | None]:
    if is_redis(settings.database.url):
        return STORES.load("redis")(settings.database, durable=settings.durable), None
    database = Database(settings.database, runtime.executor)
    return open_sql_store(database), database


def _limits(settings: MessagingSettings) -> dict[str, Any]:
    """What the home document says about how much a client may ask for."""
    return {
        **msgspec.structs.asdict(settings.limits),
        "requests_per_second": settings.rate.requests,
        "requests_burst": settings.rate.burst,
    }


def _desk(stores: Stores, settings: MessagingSettings, runtime: Runtime) -> Desk:
    return Desk(
        stores,
        _policy(settings),
        settings.limits,
        runtime.clock,
        runtime.new_id,
        can_encrypt=bool(settings.encryption.active),
    )


def _with_pools(
    main: Stores, settings: MessagingSettings, runtime: Runtime
) -> tuple[Stores, Pools]:
    """The main store and its pools as one, encrypted, and what operators do with pools."""
    opener = PoolStores(runtime, STORES, settings.durable)
    times = RouterTimes(patience=settings.pools.move_wait)
    if Capability.BETWEEN_PROCESSES not in runtime.transport.capabilities:
        times = replace(times, settle=0.1)  # there is nobody else, only requests under way
    router = Router(
        main,
        opener.open,
        runtime.clock,
        main_weight=settings.pools.main_weight,
        times=times,
    )
    seal = Seal(settings.encryption.keys, settings.encryption.active)
    return sealing_stores(placing_stores(router), seal), Pools(
        router, opener.prepare, runtime.clock
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
        deliveries=operations.desk.stores.deliveries,
        log_retention=settings.deliveries.log_retention,
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
    following: Following,
    dispatcher: Dispatcher,
    settings: MessagingSettings,
    runtime: Runtime,
) -> OpenSession:
    def open_session(environ: Environ, line: PushLine) -> OpenedSession:
        known = {
            name: text
            for name, text in RequestHeaders(environ).items()
            if name in _IDENTITY_HEADERS
        }
        session = Session(known, echo_limit=settings.websocket.echo_limit)
        subscriptions = ConnectionSubscriptions(
            desk, hub, following, line, most=settings.websocket.max_subscriptions
        )
        server_ends = environ.get(ENDING_KEY, never)

        def ending() -> bool:
            return session.phase is Phase.CLOSED or server_ends()

        connection = Connection(desk, dispatcher, runtime.auth, session, subscriptions, ending)
        pipeline = Pipeline(connection, most_waiting=settings.websocket.max_waiting)

        def close() -> None:
            subscriptions.close()
            session.move(Phase.CLOSED)

        return OpenedSession(
            pipeline.take,
            subscriptions.begin,
            connection.is_known,
            subscriptions.resume,
            lambda: session.push_form,
            close,
        )

    return open_session


def _signing_key(settings: MessagingSettings) -> GetKey:
    own = settings.signed_urls.key.encode()
    return (lambda: own) if own else KeyFile(Path(settings.signed_urls.key_file))


def _policy(settings: MessagingSettings) -> Policy:
    overrides = load_overrides(Path(settings.policy_file)) if settings.policy_file else None
    return Policy(DEFAULTS, overrides)
