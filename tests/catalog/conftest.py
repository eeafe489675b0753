"""The whole catalog in process: real database and store, in-memory bus, a client over WSGI."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pytest

from catalog_story import Catalog, Heard
from kilo_catalog.config import CacheSettings, CatalogSettings, StoreSettings
from kilo_catalog.wiring import SCHEMA, build_api
from kilo_common.bus.envelope import Notification, unwrap
from kilo_common.bus.memory import MemoryTransport
from kilo_common.bus.target import Target
from kilo_common.bus.transport import Delivery
from kilo_common.db.migrate import upgrade
from kilo_common.settings import DatabaseSettings
from kilo_common.testing.clock import FakeClock
from kilo_common.testing.runtime import make_runtime
from support.databases import ReadyDatabases


@pytest.fixture
def open_catalog(
    tmp_path: Path, executor: Executor, ready_databases: ReadyDatabases
) -> Iterator[Callable[..., Catalog]]:
    """Opens a catalog on the test's folder; a second one there is another process on the same
    data."""
    opened: list[Catalog] = []

    def open_one(folder: Path = tmp_path, **changes: Any) -> Catalog:
        folder.mkdir(exist_ok=True)
        stores = {
            "main": StoreSettings(path=f"{folder}/images"),
            "second": StoreSettings(driver="memory"),
        }
        database = DatabaseSettings(url=f"sqlite:///{folder}/catalog.db")
        cache = CacheSettings(path=f"{folder}/cache")
        made = {"database": database, "stores": stores, "cache": cache}
        settings = CatalogSettings(**(made | changes))
        file = folder / "catalog.db"
        if settings.database is database and not file.exists():
            ready_databases.place(SCHEMA, file)
        upgrade(settings.database, SCHEMA)
        clock, transport = FakeClock(), MemoryTransport()
        transport.start()
        runtime = make_runtime(executor, clock=clock, transport=transport)
        opened.append(Catalog(build_api(settings, runtime), clock, transport, folder))
        return opened[-1]

    yield open_one
    for each in opened:
        each.api.close()
        each.transport.stop(1.0)


@pytest.fixture
def catalog(open_catalog: Callable[..., Catalog]) -> Catalog:
    return open_catalog()


@pytest.fixture
def heard(catalog: Catalog) -> Heard:
    """What is announced on the bus, in order."""
    found = Heard()

    def hear(delivery: Delivery) -> None:
        found.queue.put(Notification.from_message(unwrap(delivery.body)))
        delivery.ack()

    catalog.transport.consume(Target("notifications.info").topic_address, hear)
    return found


def pytest_make_parametrize_id(val: object) -> str | None:
    """Ids without colons: gabbi's pytest plugin takes a colon for the mark of its own tests."""
    return val.replace(":", "=") if isinstance(val, str) and ":" in val else None
