"""The HTTP stories in `gabbi/`, told to the application in process, on SQLite."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from gabbi import driver
from gabbi.driver import test_pytest  # noqa: F401 - the test that gabbi parametrizes
from gabbi.fixture import GabbiFixture

from kilo_common.db.migrate import upgrade
from kilo_common.settings import DatabaseSettings
from kilo_common.testing.runtime import make_runtime
from kilo_messaging import wiring
from kilo_messaging.config import MessagingSettings
from kilo_messaging.wiring import MessagingApi

_served: list[MessagingApi] = []


class Service(GabbiFixture):  # type: ignore[misc]  # gabbi is not typed
    """A service with an empty store for each story."""

    def start_fixture(self) -> None:
        self._folder = TemporaryDirectory()
        self._executor = ThreadPoolExecutor(4)
        url = f"sqlite:///{self._folder.name}/messaging.db"
        settings = MessagingSettings(database=DatabaseSettings(url=url))
        upgrade(settings.database, wiring.SCHEMA)
        _served.append(wiring.build(settings, make_runtime(self._executor)))

    def stop_fixture(self) -> None:
        _served.pop().close()
        self._executor.shutdown()
        self._folder.cleanup()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    driver.py_test_generator(
        str(Path(__file__).parent / "gabbi"),
        intercept=lambda: lambda environ, start: _served[-1].app(environ, start),
        fixture_module=sys.modules[__name__],
        test_loader_name="messaging",
        metafunc=metafunc,
    )
