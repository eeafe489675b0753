"""SQLAlchemy engines, set up so that a commit survives a power cut on each database."""

import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from kilo_common.errors import ConfigInvalid, DriverUnavailable
from kilo_common.settings import DatabaseSettings

_EXTRAS = {"psycopg": "kilostack[postgres]", "pymysql": "kilostack[mariadb]"}


def parse_url(settings: DatabaseSettings) -> sa.URL:
    """The database's URL.

    Raises:
        ConfigInvalid: it is not an SQLAlchemy URL.
    """
    try:
        return sa.make_url(settings.url)
    except ArgumentError:
        raise ConfigInvalid(
            f"database.url: {settings.url!r} is not a database URL such as sqlite:///PATH",
            key="database.url",
        ) from None


def open_engine(
    settings: DatabaseSettings, *, writer: bool = True, pooled: bool = True
) -> sa.Engine:
    """An engine for the database. On SQLite a writer has one connection and locks at BEGIN. One
    that is not `pooled` opens a connection for each use: for threads that share none.

    Raises:
        ConfigInvalid: the URL is wrong, or the folder of an SQLite file cannot be made.
        DriverUnavailable: the database's Python driver is not installed.
    """
    url = parse_url(settings)
    if url.get_backend_name() == "sqlite":
        return _open_sqlite(url, settings, _pool(settings, 1 if writer else 0, pooled), writer)
    arguments: dict[str, Any] = _pool(settings, 0, pooled)
    if url.get_backend_name() in ("mysql", "mariadb"):
        arguments["isolation_level"] = "READ COMMITTED"
    try:
        return sa.create_engine(
            url,
            pool_pre_ping=True,
            **arguments,
        )
    except NoSuchModuleError as unknown:
        raise ConfigInvalid(f"database.url: {unknown}", key="database.url") from None
    except ModuleNotFoundError as missing:
        extra = _EXTRAS.get(missing.name or "", missing.name)
        raise DriverUnavailable(
            f"{url.get_backend_name()} needs {missing.name}; install it with: pip install '{extra}'"
        ) from missing


def _pool(settings: DatabaseSettings, size: int, pooled: bool) -> dict[str, Any]:
    if not pooled:
        return {"poolclass": sa.NullPool}
    return {
        "poolclass": sa.QueuePool,
        "pool_size": size or settings.pool_size,
        "max_overflow": 0,
        "pool_timeout": settings.busy_timeout,
    }


def _open_sqlite(
    url: sa.URL, settings: DatabaseSettings, pool: dict[str, Any], writer: bool
) -> sa.Engine:
    if not url.database or url.database == ":memory:":
        raise ConfigInvalid(
            "database.url: SQLite needs a file (sqlite:///PATH); for throw-away data use "
            "--ephemeral",
            key="database.url",
        )
    folder = Path(url.database).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise ConfigInvalid(
            f"{folder} cannot be made: {fault.strerror}", path=str(folder)
        ) from None
    engine = sa.create_engine(
        url,
        **pool,
        # A connection is used by one thread at a time, but not always by the same one.
        connect_args={"check_same_thread": False, "timeout": settings.busy_timeout},
    )

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, and which kind
        _use_wal(connection, settings.busy_timeout)
        for pragma in (
            "synchronous = FULL",
            "foreign_keys = ON",
            "temp_store = MEMORY",
            "cache_size = -4096",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        if writer:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            # It locks nothing yet, so nothing can go wrong that SQLAlchemy would have to know of.
            connection.connection.cursor().execute("BEGIN")

    return engine


def _use_wal(connection: Any, timeout: float) -> None:
    """Switch to write-ahead logging; SQLite does not wait for others who do the same just now."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as fault:
            if "locked" not in str(fault) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
