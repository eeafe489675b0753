"""The contract of pools and placements, for each driver."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from contracts.placement_store import PlacementStoreContract
from kilo_common.db.database import Database
from kilo_common.db.migrate import upgrade
from kilo_common.settings import DatabaseSettings
from kilo_common.testing.clock import FakeClock
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.storage.memory.placements import MemoryPlacements
from kilo_messaging.storage.placement_base import RELEASED, PlacementStore
from kilo_messaging.storage.redis.keys import Keys
from kilo_messaging.storage.redis.link import RedisLink
from kilo_messaging.storage.redis.placements import RedisPlacements
from kilo_messaging.storage.redis.url import read_url
from kilo_messaging.storage.sql.placements import SqlPlacements
from kilo_messaging.storage.sql.store import SCHEMA
from support.redis_server import RedisServer


def opened(url: str, executor: ThreadPoolExecutor) -> Iterator[PlacementStore]:
    settings = DatabaseSettings(url=url)
    upgrade(settings, SCHEMA)
    with closing(Database(settings, executor)) as database:
        yield SqlPlacements(database)


def opened_redis(url: str) -> Iterator[PlacementStore]:
    with closing(RedisLink(read_url(url), pool_size=4, timeout=5.0)) as link:
        yield RedisPlacements(link, Keys(f"{uuid.uuid4().hex}:"))


class TestMemoryPlacements(PlacementStoreContract):
    @pytest.fixture
    def placements(self) -> PlacementStore:
        return MemoryPlacements()


class TestSqlitePlacements(PlacementStoreContract):
    @pytest.fixture
    def placements(self, tmp_path: Path, executor: ThreadPoolExecutor) -> Iterator[PlacementStore]:
        yield from opened(f"sqlite:///{tmp_path}/messaging.db", executor)


@pytest.mark.services
class TestRedisPlacements(PlacementStoreContract):
    @pytest.fixture
    def placements(self, durable_redis: RedisServer) -> Iterator[PlacementStore]:
        yield from opened_redis(durable_redis.url)


@pytest.mark.services
def test_redis_forgets_names_that_were_released_long_ago(durable_redis: RedisServer) -> None:
    keys = Keys(f"{uuid.uuid4().hex}:")
    now = FakeClock().now()
    with (
        closing(RedisLink(read_url(durable_redis.url), pool_size=4, timeout=5.0)) as link,
        durable_redis.client as client,
    ):
        store = RedisPlacements(link, keys)
        for number in range(3):
            store.place(TopicKey("demo", str(number)), "one", now)
        store.release(TopicKey("demo", "0"), now)
        store.release(TopicKey("demo", "1"), now)
        store.place(TopicKey("demo", "1"), "one", now)
        store.release(TopicKey("demo", "2"), now + 2 * RELEASED)
        _pools, _flavors, placements, released, _version = keys.of_pools
        assert sorted(client.hkeys(placements)) == [b"demo:1", b"demo:2"]
        assert client.zrange(released, 0, -1) == [b"demo:2"]


@pytest.mark.services
class TestRedisClusterPlacements(PlacementStoreContract):
    @pytest.fixture
    def placements(self, redis_cluster: str) -> Iterator[PlacementStore]:
        yield from opened_redis(redis_cluster)


@pytest.mark.services
class TestServerPlacements(PlacementStoreContract):
    @pytest.fixture
    def placements(
        self, service_url: str, executor: ThreadPoolExecutor
    ) -> Iterator[PlacementStore]:
        yield from opened(service_url, executor)
