"""The contract of subscriptions and deliveries, for each driver that keeps them."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from contracts.subscription_store import SubscriptionStoreContract
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


def opened_redis(url: str) -> Iterator[Stores]:
    """A store with a prefix of its own, so that it is empty."""
    settings = DatabaseSettings(url=f"{url}?prefix={uuid.uuid4().hex}:", busy_timeout=5.0)
    with closing(open_redis_store(settings, durable=True)) as stores:
        yield stores


class TestMemoryStore(SubscriptionStoreContract):
    @pytest.fixture
    def stores(self) -> Stores:
        return open_memory_store()


class TestPlacedStore(SubscriptionStoreContract):
    @pytest.fixture
    def stores(self) -> Stores:
        return placed_stores()


class TestSqliteStore(SubscriptionStoreContract):
    @pytest.fixture
    def stores(
        self, tmp_path: Path, executor: ThreadPoolExecutor, ready_databases: ReadyDatabases
    ) -> Iterator[Stores]:
        yield from opened(ready_databases.place(SCHEMA, tmp_path / "messaging.db"), executor)


@pytest.mark.services
class TestRedisStore(SubscriptionStoreContract):
    @pytest.fixture
    def stores(self, durable_redis: RedisServer) -> Iterator[Stores]:
        yield from opened_redis(durable_redis.url)


@pytest.mark.services
class TestRedisCluster(SubscriptionStoreContract):
    @pytest.fixture
    def stores(self, redis_cluster: str) -> Iterator[Stores]:
        yield from opened_redis(redis_cluster)


@pytest.mark.services
class TestServerStore(SubscriptionStoreContract):
    @pytest.fixture
    def stores(
        self, database_server: str, executor: ThreadPoolExecutor, ready_databases: ReadyDatabases
    ) -> Iterator[Stores]:
        yield from opened(ready_databases.emptied(SCHEMA, database_server), executor)
