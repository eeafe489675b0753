"""The Image API as stories: one YAML file per noun, run in process."""

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from gabbi import driver, fixture
from gabbi.driver import test_pytest  # noqa: F401 - the test that gabbi parametrizes

from kilo_catalog.config import CacheSettings, CatalogSettings, StoreSettings
from kilo_catalog.wiring import SCHEMA, build_api
from kilo_common.db.migrate import upgrade
from kilo_common.settings import DatabaseSettings
from kilo_common.testing.runtime import make_runtime


class Stage:
    """Where the application of the story that runs now is."""

    app: Any = None


class CatalogFixture(fixture.GabbiFixture):  # type: ignore[misc]  # gabbi is not typed
    """A catalog of its own for each story."""

    def start_fixture(self) -> None:
        self.undo = ExitStack()
        folder = self.undo.enter_context(tempfile.TemporaryDirectory())
        settings = CatalogSettings(
            database=DatabaseSettings(url=f"sqlite:///{folder}/catalog.db"),
            cache=CacheSettings(path=f"{folder}/cache"),
            stores={
                "main": StoreSettings(path=f"{folder}/images"),
                "second": StoreSettings(driver="memory", description="gone soon"),
            },
        )
        upgrade(settings.database, SCHEMA)
        executor = self.undo.enter_context(ThreadPoolExecutor(4))
        runtime = make_runtime(executor)
        runtime.transport.start()
        self.undo.callback(runtime.transport.stop, 1.0)
        api = build_api(settings, runtime)
        self.undo.callback(api.close)
        Stage.app = api.app

    def stop_fixture(self) -> None:
        self.undo.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    driver.py_test_generator(
        str(Path(__file__).parent / "gabbi"),
        intercept=lambda: lambda environ, start_response: Stage.app(environ, start_response),
        fixture_module=sys.modules[__name__],
        test_loader_name="catalog",
        metafunc=metafunc,
    )
