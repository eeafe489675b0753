"""The service in process, over a store in memory or on SQLite."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from werkzeug.test import Client

from kilo_common.context import RequestContext
from kilo_common.runtime import Runtime
from kilo_common.settings import DatabaseSettings
from kilo_common.testing.clock import FakeClock
from kilo_common.testing.runtime import make_runtime
from kilo_messaging import wiring
from kilo_messaging.config import MessagingSettings, SignedUrlSettings
from kilo_messaging.storage.memory.store import open_memory_store
from kilo_messaging.wiring import MessagingApi
from support.databases import ReadyDatabases

CLIENT_ID = "3381af92-2b9e-11e3-b191-71861300734c"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def runtime(executor: ThreadPoolExecutor, clock: FakeClock) -> Iterator[Runtime]:
    made = make_runtime(executor, clock=clock)
    made.transport.start()
    yield made
    made.transport.stop(1.0)


@pytest.fixture
def api(runtime: Runtime) -> MessagingApi:
    """The service over a store in memory, not started."""
    return wiring.build_over(open_memory_store(), MessagingSettings(), runtime)


@pytest.fixture
def sql_api(
    runtime: Runtime, tmp_path: Path, ready_databases: ReadyDatabases
) -> Iterator[MessagingApi]:
    """The service over SQLite, not started."""
    settings = MessagingSettings(
        database=DatabaseSettings(
            url=ready_databases.place(wiring.SCHEMA, tmp_path / "messaging.db")
        ),
        signed_urls=SignedUrlSettings(key="a key for the tests"),
    )
    made = wiring.build(settings, runtime)
    yield made
    made.close()


@pytest.fixture
def context() -> RequestContext:
    return RequestContext(project_id="demo", user_id="me", roles=("member",))


@pytest.fixture
def make_client() -> Callable[[MessagingApi], Client]:
    """A client of a service, in process, that says who it is."""

    def make(api: MessagingApi) -> Client:
        def app(environ, start_response):
            environ.setdefault("HTTP_CLIENT_ID", CLIENT_ID)
            return api.app(environ, start_response)

        return Client(app)

    return make


@pytest.fixture
def http(sql_api: MessagingApi, make_client: Callable[[MessagingApi], Client]) -> Client:
    return make_client(sql_api)


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Wait until something that happens on another thread has happened; fail after a while."""

    def wait(happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        pause = threading.Event()
        while not happened():
            assert time.monotonic() < deadline, "it did not happen"
            pause.wait(0.005)

    return wait
