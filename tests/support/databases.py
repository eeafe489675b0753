"""Databases that have a schema already: made once, and empty again for each test.

To run all migrations takes longer than most tests do. How they run is tested elsewhere.
"""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import sqlalchemy as sa

from kilo_common.db.migrate import Schema, upgrade
from kilo_common.settings import DatabaseSettings

POSTGRES = "postgresql+psycopg://postgres@127.0.0.1:5432"
MARIADB = "mariadb+pymysql://root@127.0.0.1:3306"


@contextmanager
def fresh(server: str) -> Iterator[str]:
    """The URL of a new database on `postgresql` or `mariadb`; dropped afterwards."""
    name = f"kilo_test_{uuid.uuid4().hex[:12]}"
    if server == "postgresql":
        base, url, drop = f"{POSTGRES}/postgres", f"{POSTGRES}/{name}", " WITH (FORCE)"
    else:
        base, url, drop = f"{MARIADB}/mysql", f"{MARIADB}/{name}", ""
    engine = sa.create_engine(base, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        yield url
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name}{drop}")
    finally:
        engine.dispose()


class ReadyDatabases:
    """For one test session; one test at a time uses each."""

    def __init__(self, folder: Path) -> None:
        """`folder` is for the SQLite files that are copied."""
        self._folder = folder
        self._urls: dict[tuple[str, str], str] = {}
        self._undo = ExitStack()

    def place(self, schema: Schema, path: Path) -> str:
        """The URL of an empty SQLite database, put at `path`."""
        template = self._folder / f"{schema.version_table}.db"
        if not template.exists():
            upgrade(DatabaseSettings(url=f"sqlite:///{template}"), schema)
        shutil.copyfile(template, path)
        return f"sqlite:///{path}"

    def emptied(self, schema: Schema, server: str) -> str:
        """The URL of an empty database on `postgresql` or `mariadb`."""
        key = (server, schema.version_table)
        if key not in self._urls:
            self._urls[key] = self._undo.enter_context(fresh(server))
            upgrade(DatabaseSettings(url=self._urls[key]), schema)
        else:
            _empty(self._urls[key], schema.version_table)
        return self._urls[key]

    def close(self) -> None:
        """Drop those on servers."""
        self._undo.close()


def _empty(url: str, version_table: str) -> None:
    engine = sa.create_engine(url)
    try:
        found = sa.MetaData()
        found.reflect(engine)
        with engine.begin() as connection:
            for table in reversed(found.sorted_tables):
                if table.name != version_table:
                    connection.execute(table.delete())
    finally:
        engine.dispose()
