"""Transactions as functions: `read(work)` and `write(work)` on one database.

`work` gets a connection inside a transaction and returns a result. It does nothing but talk to
the database: it may be run twice, and on SQLite it runs in a thread of its own, so that neither
an fsync nor a slow query ever holds up other requests. Writers on SQLite are grouped: those that
wait while one group commits become the next group and share its fsync.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError

from kilo_common.db.engine import open_engine, parse_url
from kilo_common.errors import Conflict, Unavailable
from kilo_common.settings import DatabaseSettings

log = logging.getLogger(__name__)
T = TypeVar("T")
Work = Callable[[sa.Connection], T]
GROUP_LIMIT = 256
ATTEMPTS = 5
_RETRYABLE = frozenset({"40001", "40P01", "1213", "1205"})
"""Serialization failures and deadlocks: PostgreSQL's SQLSTATE, MariaDB's error number."""
_FAULTS = (SQLAlchemyError, sqlite3.Error)


class DatabaseUnavailable(Unavailable):
    """The database does not answer, or stayed locked for longer than the busy time-out."""

    code = "common.database.unavailable"


class ConstraintViolated(Conflict):
    """A row with that key exists already, or one that is referred to does not."""

    code = "common.database.constraint_violated"


class Database:
    """One database, whichever kind: the same two verbs."""

    def __init__(self, settings: DatabaseSettings, executor: Executor) -> None:
        """`executor` runs work in native threads; it is only used for SQLite."""
        self.settings = settings
        self.dialect = parse_url(settings).get_backend_name()
        self._writer = open_engine(settings)
        self._grouped: _GroupCommit | None = None
        self._executor: Executor | None = None
        self._reader = self._writer
        self._here: _Resident | None = None
        if self.dialect == "sqlite":
            self._reader = open_engine(settings, writer=False)
            self._executor = executor
            self._grouped = _GroupCommit(self._writer, executor)
            self._here = _Resident(self._reader)

    def read(self, work: Work[T], *, brief: bool = False) -> T:
        """Run `work` in a transaction that only reads.

        `brief` work reads a few rows by an index. On SQLite it runs right here: to hand it to
        another thread and to wait for that takes longer than the work.

        Raises:
            DatabaseUnavailable: no answer.
            Whatever `work` raises.
        """
        try:
            if brief and self._here is not None:
                return self._here.run(work)
            with self._reader.connect() as connection, connection.begin():
                if self._executor is None:
                    return work(connection)
                result: T
                result, fault = self._executor.submit(_outcome, connection, work).result()
        except SQLAlchemyError as error:
            raise _translate(error) from error
        if fault is not None:
            raise fault
        return result

    def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction and return after its commit is safe on disk.

        Raises:
            ConstraintViolated: a unique or foreign key forbids it.
            DatabaseUnavailable: no answer, or locked for too long.
            Whatever `work` raises; then nothing of it is kept.
        """
        if self._grouped is not None:
            return self._grouped.run(work)
        return self._write_with_retries(work)

    def close(self) -> None:
        """Let go of all connections. Work that was begun is finished first."""
        if self._grouped is not None:
            self._grouped.close()
        if self._here is not None:
            self._here.close()
        self._reader.dispose()
        self._writer.dispose()

    def _write_with_retries(self, work: Work[T]) -> T:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with self._writer.begin() as connection:
                    return work(connection)
            except SQLAlchemyError as fault:
                if attempt == ATTEMPTS or not _is_retryable(fault):
                    raise _translate(fault) from fault
                time.sleep(0.01 * 2**attempt)
        raise AssertionError("unreachable")


class _Resident:
    """A reader's connection that stays open: to get one from the pool takes as long as most work
    that is brief."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._connection: sa.Connection | None = None
        self._lock = threading.Lock()

    def run(self, work: Work[T]) -> T:
        with self._lock:
            connection = self._connection
            if connection is None:
                connection = self._connection = self._engine.connect()
            try:
                return work(connection)
            except SQLAlchemyError:
                self._drop()
                raise
            finally:
                if self._connection is not None:
                    connection.rollback()

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@dataclass(frozen=True)
class _Pending:
    work: Work[Any]
    done: Future[Any]


class _GroupCommit:
    """Runs the waiting writers of an SQLite database in one transaction, each in a savepoint.

    One thread (a greenlet, under gevent) collects; a native thread does the work. No lock is held
    while either waits.
    """

    def __init__(self, engine: sa.Engine, executor: Executor) -> None:
        self._engine = engine
        self._executor = executor
        self._queue: SimpleQueue[_Pending | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False

    def run(self, work: Work[T]) -> T:
        if self._closed:
            raise DatabaseUnavailable("The database is closed: the service is stopping")
        if self._thread is None:
            self._start()
        done: Future[T] = Future()
        self._queue.put(_Pending(work, done))
        return done.result()

    def close(self) -> None:
        self._closed = True
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._collect, name="writer", daemon=True)
                self._thread.start()

    def _collect(self) -> None:
        while True:
            first = self._queue.get()
            if first is None:
                return
            group = [first]
            last = False
            while len(group) < GROUP_LIMIT:
                try:
                    following = self._queue.get_nowait()
                except Empty:
                    break
                if following is None:
                    last = True
                    break
                group.append(following)
            for pending, result, fault in self._commit_in_thread(group):
                if fault is None:
                    pending.done.set_result(result)
                else:
                    pending.done.set_exception(fault)
            if last:
                return

    def _commit_in_thread(
        self, group: list[_Pending]
    ) -> list[tuple[_Pending, Any, BaseException | None]]:
        try:
            return self._executor.submit(self._commit, group).result()
        except Exception as fault:  # noqa: BLE001 - no thread to be had: nobody may wait for ever
            return [(pending, None, fault) for pending in group]

    def _commit(self, group: list[_Pending]) -> list[tuple[_Pending, Any, BaseException | None]]:
        """Run the group; what failed is rolled back alone, the rest is committed together."""
        outcomes: list[tuple[_Pending, Any, BaseException | None]] = []
        try:
            with self._engine.begin() as connection:
                for pending in group:
                    outcomes.append((pending, *_in_savepoint(connection, pending.work)))
        except Exception as fault:  # noqa: BLE001 - a thread's edge: each waiting writer is told
            told = _translate(fault) if isinstance(fault, _FAULTS) else fault
            return [(pending, None, told) for pending in group]
        return outcomes


def _outcome(connection: sa.Connection, work: Work[Any]) -> tuple[Any, BaseException | None]:
    """What `work` returns or raises, as values: gevent's threads print whatever they raise."""
    try:
        return work(connection), None
    except SQLAlchemyError as fault:
        return None, _translate(fault)
    except Exception as fault:  # noqa: BLE001 - handed to the caller that waits for this work
        return None, fault


def _in_savepoint(connection: sa.Connection, work: Work[Any]) -> tuple[Any, BaseException | None]:
    # Straight to SQLite: SQLAlchemy's own savepoints take longer than most of the work in them.
    sqlite: Any = connection.connection.driver_connection
    sqlite.execute("SAVEPOINT one")
    result, fault = _outcome(connection, work)
    if fault is not None:
        sqlite.execute("ROLLBACK TO one")
    sqlite.execute("RELEASE one")
    return result, fault


def _is_retryable(fault: SQLAlchemyError) -> bool:
    if not isinstance(fault, DBAPIError) or fault.orig is None:
        return False
    state = getattr(fault.orig, "sqlstate", None) or str((fault.orig.args or ("",))[0])
    return state in _RETRYABLE


def _translate(fault: SQLAlchemyError | sqlite3.Error) -> Exception:
    """The project's own error for SQLAlchemy's; a programming error stays what it is."""
    if isinstance(fault, IntegrityError):
        return ConstraintViolated(f"The database refuses the row: {fault.orig}")
    if isinstance(fault, OperationalError | sa.exc.TimeoutError | sqlite3.Error) or (
        isinstance(fault, DBAPIError) and fault.connection_invalidated
    ):
        log.error("database: %s", fault)
        return DatabaseUnavailable("The database does not answer; try again in a few seconds")
    return fault
