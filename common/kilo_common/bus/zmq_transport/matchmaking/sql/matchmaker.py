"""The matchmaker in a database that all nodes share: `matchmaker=sql&matchmaker_url=URL`.

Leases are told by the nodes' clocks: those of different machines should agree to within a few
seconds.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from kilo_common.bus.errors import BusUnavailable
from kilo_common.bus.url import BusUrlInvalid
from kilo_common.bus.zmq_transport.matchmaking.base import Matchmaker, Record, Role
from kilo_common.clock import Clock, SystemClock
from kilo_common.db.database import ConstraintViolated, Database, DatabaseUnavailable
from kilo_common.db.migrate import Schema, upgrade
from kilo_common.db.types import Timestamp
from kilo_common.settings import DatabaseSettings

T = TypeVar("T")
SCHEMA = Schema(
    "kilo_common.bus.zmq_transport.matchmaking.sql.migrations", "zmq_matchmaker_version"
)
SWEPT_AFTER = 3600.0
"""Seconds a lease that has ended stays in the table: for a person who looks."""
ATTEMPTS = 5
_LEASES = sa.table(
    "zmq_leases",
    sa.column("id", sa.String),
    sa.column("place_digest", sa.String),
    sa.column("node", sa.String),
    sa.column("role", sa.String),
    sa.column("place", sa.Text),
    sa.column("group_name", sa.Text),
    sa.column("endpoint", sa.String),
    sa.column("ends_at", Timestamp),
)


class SqlMatchmaker(Matchmaker):
    """One row for each record."""

    def __init__(
        self,
        options: Mapping[str, str],
        clock: Clock | None = None,
        executor: Executor | None = None,
    ) -> None:
        """`executor` runs what SQLite does; without one it is threads of its own."""
        url = options.get("matchmaker_url", "")
        if not url:
            raise BusUrlInvalid(
                "bus.url: matchmaker=sql needs matchmaker_url=DATABASE-URL", option="matchmaker_url"
            )
        self._settings = DatabaseSettings(url=url, pool_size=2, busy_timeout=5.0)
        self._clock = clock or SystemClock()
        self._executor = executor
        self._own_executor: Executor | None = None
        self._database: Database | None = None

    def start(self) -> None:
        if self._database is not None:
            return
        self._migrate()
        executor = self._executor
        if executor is None:
            executor = self._own_executor = ThreadPoolExecutor(2, thread_name_prefix="matchmaker")
        self._database = Database(self._settings, executor)

    def close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()
        if self._own_executor is not None:
            self._own_executor.shutdown()

    def register(self, record: Record, lease: float) -> None:
        row = {
            "place_digest": _digest(record.place),
            "node": record.node,
            "role": record.role.value,
            "place": record.place,
            "group_name": record.group,
            "endpoint": record.endpoint,
            "ends_at": self._clock.now() + timedelta(seconds=lease),
        }
        number = _id(record)

        def work(connection: sa.Connection) -> None:
            changed = connection.execute(
                sa.update(_LEASES).where(_LEASES.c.id == number).values(row)
            )
            if changed.rowcount == 0:
                connection.execute(sa.insert(_LEASES).values(id=number, **row))

        try:
            self._write(work)
        except ConstraintViolated:
            self._write(work)  # another node entered the same group in this moment

    def renew(self, node: str, lease: float) -> bool:
        now = self._clock.now()

        def work(connection: sa.Connection) -> int:
            swept = now - timedelta(seconds=SWEPT_AFTER)
            connection.execute(sa.delete(_LEASES).where(_LEASES.c.ends_at < swept))
            standing = (_LEASES.c.node == node) & (_LEASES.c.ends_at > now)
            ends_at = now + timedelta(seconds=lease)
            return connection.execute(
                sa.update(_LEASES).where(standing).values(ends_at=ends_at)
            ).rowcount

        return self._write(work) > 0

    def remove(self, record: Record) -> None:
        number = _id(record)
        self._write(
            lambda connection: connection.execute(
                sa.delete(_LEASES).where(_LEASES.c.id == number)
            ).close()
        )

    def lookup(self, place: str) -> tuple[Record, ...]:
        query = sa.select(
            _LEASES.c.role,
            _LEASES.c.place,
            _LEASES.c.group_name,
            _LEASES.c.node,
            _LEASES.c.endpoint,
        ).where(_LEASES.c.place_digest == _digest(place), _LEASES.c.ends_at > self._clock.now())
        try:
            rows = self._open().read(lambda connection: connection.execute(query).all())
        except DatabaseUnavailable as fault:
            raise BusUnavailable(f"The matchmaker's database: {fault}") from fault
        return tuple(
            Record(Role(role), place, group, node, endpoint)
            for role, place, group, node, endpoint in rows
        )

    def _write(self, work: Callable[[sa.Connection], T]) -> T:
        try:
            return self._open().write(work)
        except DatabaseUnavailable as fault:
            raise BusUnavailable(f"The matchmaker's database: {fault}") from fault

    def _open(self) -> Database:
        if self._database is None:
            raise BusUnavailable("The matchmaker is closed")
        return self._database

    def _migrate(self) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                upgrade(self._settings, SCHEMA)
                return
            except DatabaseUnavailable as fault:
                raise BusUnavailable(f"The matchmaker's database: {fault}") from fault
            except SQLAlchemyError as fault:
                # Nodes that start together race for making the table; one wins.
                if attempt == ATTEMPTS:
                    raise BusUnavailable(f"The matchmaker's table: {fault}") from fault
                time.sleep(0.1 * attempt)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _id(record: Record) -> str:
    return _digest(record.role.value, record.place, record.group, record.node)
