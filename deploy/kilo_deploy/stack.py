"""The all-in-one stack: catalog, messaging and the bus in one process."""

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import msgspec

from kilo_catalog import wiring as catalog_wiring
from kilo_common.db.migrate import upgrade
from kilo_common.http.auth import check_bind, open_strategy
from kilo_common.http.server import HttpServer
from kilo_common.identity import wiring as identity_wiring
from kilo_common.identity.catalog import ServiceCatalog
from kilo_common.lifecycle import Service, ServiceGroup
from kilo_common.runtime import Runtime
from kilo_deploy.accounts import accounts_of
from kilo_deploy.config import StackSettings, prepare_state_dir, with_identity_listener
from kilo_deploy.dashboard.app import App, Dashboard
from kilo_deploy.state import StackInfo, StateLock
from kilo_messaging import wiring as messaging_wiring

log = logging.getLogger(__name__)


class Stack:
    """Everything a user needs, on one state folder. Start once, stop once."""

    def __init__(self, settings: StackSettings, runtime: Runtime, pid: int) -> None:
        self._settings = settings
        self._runtime = runtime
        self._pid = pid
        self._undo = ExitStack()
        self.info: StackInfo | None = None

    def start(self) -> StackInfo:
        """Bring up the databases, the bus, the services and the listeners, in this order.

        Raises:
            KiloError: what prevents it; then nothing is left running.
        """
        try:
            self.info = self._start()
        except BaseException:
            self._undo.close()
            raise
        return self.info

    def stop(self) -> None:
        """Stop all of it in the reverse order; requests in hand may finish."""
        log.debug("stopping")
        self._undo.close()

    def _start(self) -> StackInfo:
        settings, runtime = self._settings, self._runtime
        folder = Path(settings.state_dir)
        prepare_state_dir(folder)
        lock = StateLock(folder)
        lock.acquire()
        self._undo.callback(lock.release)

        upgrade(settings.catalog.database, catalog_wiring.SCHEMA)
        if schema := messaging_wiring.schema_of(settings.messaging):
            upgrade(settings.messaging.database, schema)

        services, apps = None, dict[str, App]()
        if settings.auth.strategy == "dev":
            services, apps["identity"], runtime = self._start_identity(runtime)
        runtime.transport.start()
        self._undo.callback(runtime.transport.stop, settings.shutdown_timeout)
        messaging = messaging_wiring.build(settings.messaging, runtime)
        self._undo.callback(messaging.close)
        catalog = catalog_wiring.build_api(settings.catalog, runtime, with_worker=True)
        self._undo.callback(catalog.close)

        # The messaging service listens before the catalog has anything to announce.
        self._run(ServiceGroup((*messaging.services, *catalog.services)))
        messaging_url, websocket_url = self._listen_to_messages(messaging.app)
        catalog_server = HttpServer(
            catalog.app, settings.catalog.http.host, settings.catalog.http.port, name="catalog"
        )
        self._run(catalog_server)
        apps |= {"catalog": catalog.app, "messaging": messaging.app}
        dashboard, dashboard_url = self._start_dashboard(apps)
        accounts = accounts_of(settings.auth)
        keystone = settings.auth.strategy == "keystone"
        elsewhere = settings.auth.keystone.auth_url if keystone else ""
        info = StackInfo(
            pid=self._pid,
            catalog_url=catalog_server.url,
            messaging_url=messaging_url,
            websocket_url=websocket_url.replace("http", "ws", 1),
            project=accounts[0].project if accounts else settings.auth.default_project,
            strategy=settings.auth.strategy,
            identity_url=services.url if services else elsewhere,
            dashboard_url=dashboard_url,
            accounts=accounts,
        )
        dashboard.show(info)
        if services:
            services.publish("image", settings.catalog.http.public_url or info.catalog_url)
            services.publish("messaging", settings.messaging.http.public_url or info.messaging_url)
            services.publish("messaging-websocket", info.websocket_url)
        lock.announce(info)
        return info

    def _listen_to_messages(self, app: App) -> tuple[str, str]:
        """Serve messaging, on a second port for WebSocket if there is to be one; both URLs."""
        settings = self._settings.messaging
        server = HttpServer(app, settings.http.host, settings.http.port, name="messaging")
        self._run(server)
        if not settings.websocket_port:
            return server.url, server.url
        second = HttpServer(
            app, settings.http.host, settings.websocket_port, name="messaging (WebSocket)"
        )
        self._run(second)
        return server.url, second.url

    def _start_dashboard(self, apps: Mapping[str, App]) -> tuple[Dashboard, str]:
        """Serve the page, unless it is not wanted; its URL."""
        settings = self._settings.dashboard
        dashboard = Dashboard(apps)
        if not settings.enabled:
            return dashboard, ""
        check_bind(self._settings.auth, settings.http.host)
        server = HttpServer(dashboard, settings.http.host, settings.http.port, name="dashboard")
        self._run(server)
        return dashboard, server.url

    def _start_identity(self, runtime: Runtime) -> tuple[ServiceCatalog, App, Runtime]:
        """Listen for those who sign in; the catalog of services, the application that they reach,
        and a runtime that names us."""
        auth = self._settings.auth
        api = identity_wiring.build(auth.dev, runtime.clock)
        server = HttpServer(api.app, auth.dev.http.host, auth.dev.http.port, name="identity")
        self._run(server)
        url = auth.dev.http.public_url or server.url
        api.catalog.publish("identity", url)
        # Port 0 in the configuration becomes a real one only now.
        here = with_identity_listener(auth, msgspec.structs.replace(auth.dev.http, public_url=url))
        strategy = open_strategy(here, runtime.executor, runtime.clock)
        return api.catalog, api.app, replace(runtime, auth=strategy)

    def _run(self, service: Service) -> None:
        service.start()
        stop: Callable[[float], None] = service.stop
        self._undo.callback(stop, self._settings.shutdown_timeout)
