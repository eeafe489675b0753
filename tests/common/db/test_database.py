"""Transactions as functions: grouping, isolation of failures, and the project's own errors."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from kilo_common.db.database import ConstraintViolated, Database, DatabaseUnavailable
from kilo_common.db.engine import open_engine
from kilo_common.db.prepared import Prepared
from kilo_common.db.types import Timestamp
from kilo_common.errors import ConfigInvalid
from kilo_common.settings import DatabaseSettings

METADATA = sa.MetaData()
THINGS = sa.Table(
    "things",
    METADATA,
    sa.Column("name", sa.String(50), primary_key=True),
    sa.Column("made_at", Timestamp),
)


class DatabaseContract:
    """The same on every database."""

    @pytest.fixture
    def database(self) -> Iterator[Database]:
        raise NotImplementedError

    def names(self, database: Database) -> list[str]:
        query = sa.select(THINGS.c.name).order_by(THINGS.c.name)
        return database.read(lambda connection: list(connection.scalars(query)))

    def put(self, database: Database, name: str) -> None:
        database.write(lambda connection: connection.execute(THINGS.insert().values(name=name)))

    def test_what_was_written_is_read(self, database: Database) -> None:
        self.put(database, "a")
        assert self.names(database) == ["a"]

    def test_a_write_returns_what_its_work_returns(self, database: Database) -> None:
        assert database.write(lambda _connection: 42) == 42

    def test_a_failed_write_keeps_nothing_and_tells_its_caller_only(
        self, database: Database
    ) -> None:
        def half(connection: sa.Connection) -> None:
            connection.execute(THINGS.insert().values(name="half"))
            raise RuntimeError("changed my mind")

        with pytest.raises(RuntimeError, match="changed my mind"):
            database.write(half)
        assert self.names(database) == []

    def test_a_second_row_of_the_same_key_is_a_conflict(self, database: Database) -> None:
        self.put(database, "a")
        with pytest.raises(ConstraintViolated):
            self.put(database, "a")
        self.put(database, "b")
        assert self.names(database) == ["a", "b"]

    def test_many_writers_at_once_are_all_served_each_on_its_own(self, database: Database) -> None:
        outcomes: list[str] = []

        def write(number: int) -> None:
            name = f"{number % 30:03d}"  # each name twice: one of the two must fail, alone
            try:
                self.put(database, name)
                outcomes.append("good")
            except ConstraintViolated:
                outcomes.append("taken")

        threads = [threading.Thread(target=write, args=(number,)) for number in range(60)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["good"] * 30 + ["taken"] * 30
        assert len(self.names(database)) == 30

    def test_times_come_back_to_the_microsecond(self, database: Database) -> None:
        moment = datetime(2026, 11, 23, 12, 0, 0, 123457, tzinfo=UTC)
        row = THINGS.insert().values(name="t", made_at=moment)
        database.write(lambda connection: connection.execute(row))
        query = sa.select(THINGS.c.made_at)
        assert database.read(lambda connection: connection.scalar(query)) == moment

    def test_a_prepared_statement_reads_and_changes_rows(self, database: Database) -> None:
        moment = datetime(2026, 11, 23, 12, 0, 0, 123457, tzinfo=UTC)
        add = Prepared(
            THINGS.insert().values(name=sa.bindparam("name"), made_at=sa.bindparam("at"))
        )
        rows = [{"name": name, "at": moment} for name in ("a", "'b'", "ö")]
        database.write(lambda connection: add.run_many(connection, rows))
        some = Prepared(
            sa.select(THINGS)
            .where(THINGS.c.name.in_(sa.bindparam("names", expanding=True)))
            .where(THINGS.c.made_at > datetime(2000, 1, 1, tzinfo=UTC))
            .order_by(THINGS.c.name)
            .limit(sa.bindparam("limit"))
        )
        wanted = {"names": ["ö", "'b'", "x"], "limit": 5}
        found = database.read(lambda connection: some.rows(connection, wanted))
        assert {(row.name, row.made_at) for row in found} == {("'b'", moment), ("ö", moment)}
        first = database.read(lambda connection: some.first(connection, wanted | {"limit": 1}))
        assert first == found[0]
        none = database.read(lambda connection: some.first(connection, wanted | {"names": []}))
        assert none is None
        remove = Prepared(
            THINGS.delete().where(THINGS.c.name.in_(sa.bindparam("names", expanding=True)))
        )
        removed = database.write(lambda connection: remove.run(connection, wanted))
        assert removed == 2
        assert self.names(database) == ["a"]

    def test_a_prepared_statement_tells_of_a_conflict(self, database: Database) -> None:
        add = Prepared(THINGS.insert().values(name=sa.bindparam("name"), made_at=None))
        database.write(lambda connection: add.run(connection, {"name": "a"}))
        with pytest.raises(ConstraintViolated):
            database.write(lambda connection: add.run(connection, {"name": "a"}))
        with pytest.raises(ConstraintViolated):
            database.write(lambda connection: add.run_many(connection, [{"name": "a"}]))
        assert self.names(database) == ["a"]


class TestSqlite(DatabaseContract):
    @pytest.fixture
    def database(self, tmp_path: Path, executor: ThreadPoolExecutor) -> Iterator[Database]:
        settings = DatabaseSettings(url=f"sqlite:///{tmp_path}/deep/test.db")
        database = Database(settings, executor)
        database.write(METADATA.create_all)
        yield database
        database.close()

    def test_a_closed_database_refuses_writes(self, database: Database) -> None:
        database.close()
        with pytest.raises(DatabaseUnavailable):
            self.put(database, "late")

    def test_writers_are_told_when_there_is_no_thread_to_work_in(self, tmp_path: Path) -> None:
        pool = ThreadPoolExecutor(1)
        database = Database(DatabaseSettings(url=f"sqlite:///{tmp_path}/x.db"), pool)
        database.write(METADATA.create_all)
        pool.shutdown()
        with pytest.raises(RuntimeError, match="shutdown"):
            self.put(database, "late")
        with pytest.raises(RuntimeError, match="shutdown"):
            self.put(database, "later")
        database.close()

    def test_a_reader_sees_the_state_before_a_write_that_is_under_way(
        self, database: Database
    ) -> None:
        inside, seen = threading.Event(), threading.Event()

        def slow(connection: sa.Connection) -> None:
            connection.execute(THINGS.insert().values(name="new"))
            inside.set()
            assert seen.wait(10)

        writer = threading.Thread(target=database.write, args=(slow,))
        writer.start()
        assert inside.wait(10)
        assert self.names(database) == []
        seen.set()
        writer.join()
        assert self.names(database) == ["new"]


@pytest.mark.services
class TestServers(DatabaseContract):
    @pytest.fixture
    def database(self, service_url: str, executor: ThreadPoolExecutor) -> Iterator[Database]:
        database = Database(DatabaseSettings(url=service_url), executor)
        database.write(METADATA.create_all)
        yield database
        database.close()


def test_many_may_open_a_new_sqlite_file_at_once(tmp_path: Path) -> None:
    for turn in range(20):
        settings = DatabaseSettings(url=f"sqlite:///{tmp_path}/new{turn}.db")
        together = threading.Barrier(8)

        def connect(settings: DatabaseSettings, together: threading.Barrier) -> None:
            engine = open_engine(settings)
            together.wait()
            with engine.connect():
                pass
            engine.dispose()

        with ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(connect, settings, together) for _ in range(8)]:
                done.result()


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite://", "oracle9://x"])
def test_a_url_that_cannot_be_used_is_said_so(url: str, executor: ThreadPoolExecutor) -> None:
    with pytest.raises(ConfigInvalid, match="database"):
        Database(DatabaseSettings(url=url), executor)


@pytest.mark.services
def test_a_server_that_is_not_there_is_unavailable(executor: ThreadPoolExecutor) -> None:
    settings = DatabaseSettings(url="postgresql+psycopg://postgres@127.0.0.1:1/none")
    database = Database(settings, executor)
    with pytest.raises(DatabaseUnavailable):
        database.read(lambda connection: connection.scalar(sa.select(1)))
    database.close()
