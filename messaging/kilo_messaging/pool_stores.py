"""Which store a pool's URI names, and how it is opened."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from kilo_common.db.database import Database
from kilo_common.db.migrate import upgrade
from kilo_common.errors import ConfigInvalid
from kilo_common.registry import DriverTable
from kilo_common.runtime import Runtime
from kilo_common.settings import DatabaseSettings
from kilo_messaging.domain.pool import Pool
from kilo_messaging.storage.base import Stores
from kilo_messaging.storage.memory.store import open_memory_store
from kilo_messaging.storage.redis.url import is_redis
from kilo_messaging.storage.sql.store import SCHEMA, open_sql_store

MEMORY = "memory://"


@dataclass(frozen=True)
class PoolStores:
    """Opens pools.

    `sqlite:///PATH`, `postgresql+psycopg://…`, `mariadb+pymysql://…`, `redis://…` and its like, and
    `memory://` where messages may be lost. A pool's options may hold `pool_size` and
    `busy_timeout`, as those of the main database.
    """

    runtime: Runtime
    drivers: DriverTable
    durable: bool

    def open(self, pool: Pool) -> Stores:
        """The pool's store, which is up to date.

        Raises:
            ConfigInvalid, DriverUnavailable, Unavailable: it cannot be opened.
        """
        if pool.uri == MEMORY:
            return self._open_memory()
        settings = self._settings(pool)
        if is_redis(pool.uri):
            stores: Stores = self.drivers.load("redis")(settings, durable=self.durable)
            return stores
        return open_sql_store(Database(settings, self.runtime.executor))

    def prepare(self, pool: Pool) -> None:
        """Bring the pool's store up to date, and see whether it answers. Raises as `open`."""
        if pool.uri != MEMORY and not is_redis(pool.uri):
            upgrade(self._settings(pool), SCHEMA)
        stores = self.open(pool)
        try:
            stores.check()
        finally:
            stores.close()

    def _open_memory(self) -> Stores:
        if self.durable:
            raise ConfigInvalid(
                f"{MEMORY} keeps nothing; it is for messaging.durable = false or --ephemeral",
                key="uri",
            )
        return open_memory_store()

    def _settings(self, pool: Pool) -> DatabaseSettings:
        uri = _with_driver(pool.uri)
        if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_absolute():
            raise ConfigInvalid("Name the file by its whole path: sqlite:////PATH", key="uri")
        known = {"pool_size", "busy_timeout"}
        if unknown := sorted(set(pool.options) - known):
            raise ConfigInvalid(
                f"{unknown[0]!r} is no option of a pool: there are pool_size and busy_timeout",
                key="options",
            )
        try:
            return msgspec.convert({"url": uri, **pool.options}, DatabaseSettings)
        except msgspec.ValidationError as fault:
            raise ConfigInvalid(f"options: {fault}", key="options") from None


def _with_driver(uri: str) -> str:
    """The URI with the Python driver that comes with us, where it names none."""
    scheme, colon, rest = uri.partition("://")
    drivers = {
        "postgresql": "postgresql+psycopg",
        "postgres": "postgresql+psycopg",
        "mysql": "mysql+pymysql",
        "mariadb": "mariadb+pymysql",
    }
    return f"{drivers.get(scheme, scheme)}{colon}{rest}"
