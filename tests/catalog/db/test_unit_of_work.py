"""Every driver of the records against the one contract."""

from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path

import pytest

from contracts.artifacts import ArtifactContract
from contracts.metadefs import MetadefContract
from contracts.task_records import TaskRecordsContract
from contracts.unit_of_work import UnitOfWorkContract
from kilo_catalog.db.base import UnitOfWork
from kilo_catalog.db.memory import MemoryUnitOfWork
from kilo_catalog.db.sql import SqlUnitOfWork
from kilo_catalog.wiring import SCHEMA
from kilo_common.db.database import Database
from kilo_common.settings import DatabaseSettings
from support.databases import ReadyDatabases


def open_sql(url: str, executor: Executor) -> Iterator[UnitOfWork]:
    database = Database(DatabaseSettings(url=url), executor)
    yield SqlUnitOfWork(database)
    database.close()


class TestMemory(UnitOfWorkContract, MetadefContract, TaskRecordsContract, ArtifactContract):
    @pytest.fixture
    def unit_of_work(self) -> UnitOfWork:
        return MemoryUnitOfWork()


class TestSqlite(UnitOfWorkContract, MetadefContract, TaskRecordsContract, ArtifactContract):
    @pytest.fixture
    def unit_of_work(
        self, tmp_path: Path, executor: Executor, ready_databases: ReadyDatabases
    ) -> Iterator[UnitOfWork]:
        yield from open_sql(ready_databases.place(SCHEMA, tmp_path / "catalog.db"), executor)


@pytest.mark.services
class TestServers(UnitOfWorkContract, MetadefContract, TaskRecordsContract, ArtifactContract):
    @pytest.fixture
    def unit_of_work(
        self, database_server: str, executor: Executor, ready_databases: ReadyDatabases
    ) -> Iterator[UnitOfWork]:
        yield from open_sql(ready_databases.emptied(SCHEMA, database_server), executor)
