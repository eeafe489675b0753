"""The contract of message stores, for each driver."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from contracts.message_store import MessageStoreContract
from kilo_common.db.database import Database
from kilo_common.settings import DatabaseSettings
from kilo_messaging.storage.base import Stores
from kilo_messaging.storage.memory.store import open_memory_store
from kilo_messaging.storage.redis.store import open_redis_store
from kilo_messaging.storage.sql.store import SCHEMA, open_sql_store
from support.databases import ReadyDatabases
from support.placed import placed_stores
from support.redis_server import RedisServer


def opened(url: str, executor: ThreadPoolExecutor) -> Iterator[Stores]:
    database = Database(DatabaseSettings(url=url), executor)
    try:
        yield open_sql_store(database)
    finally:
        database.close()


class TestMemoryStore(MessageStoreContract):
    @pytest.fixture
    def stores(self) -> Stores:
        return open_memory_store()


class TestPlacedStore(MessageStoreContract):
    @pytest.fixture
    def stores(self) -> Stores:
        return placed_stores()


class TestSqliteStore(MessageStoreContract):
    @pytest.fixture
    def stores(
        self, tmp_path: Path, executor: ThreadPoolExecutor, ready_databases: ReadyDatabases
    ) -> Iterator[Stores]:
        yield from opened(ready_databases.place(SCHEMA, tmp_path / "messaging.db"), executor)


@contextmanager
def opened_redis(url: str) -> Iterator[tuple[Stores, Stores]]:
    """A store with a prefix of its own, so that it is empty."""
    settings = DatabaseSettings(url=f"{url}?prefix={uuid.uuid4().hex}:", busy_timeout=5.0)
    stores = open_redis_store(settings, durable=True)
    with closing(open_redis_store(settings, durable=True)) as second:
        yield stores, second
    stores.close()


@pytest.mark.services
class TestRedisStore(MessageStoreContract):
    @pytest.fixture
    def stores(self, durable_redis: RedisServer) -> Iterator[Stores]:
        with opened_redis(durable_redis.url) as (stores, self._second):
            yield stores

    def another(self) -> Stores:
        return self._second


@pytest.mark.services
class TestRedisCluster(TestRedisStore):
    @pytest.fixture
    def stores(self, redis_cluster: str) -> Iterator[Stores]:
        with opened_redis(redis_cluster) as (stores, self._second):
            yield stores


@pytest.mark.services
class TestServerStore(MessageStoreContract):
    @pytest.fixture
    def stores(
        self, database_server: str, executor: ThreadPoolExecutor, ready_databases: ReadyDatabases
    ) -> Iterator[Stores]:
        url = ready_databases.emptied(SCHEMA, database_server)
        with closing(Database(DatabaseSettings(url=url), executor)) as second:
            self._second = open_sql_store(second)
            yield from opened(url, executor)

    def another(self) -> Stores:
        return self._second
