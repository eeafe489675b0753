"""Blobs in a database, piece by piece: for tiny things, where there is nothing else.

Two tables, made at the first use. A writer has a token in the blob's row; who deletes or resumes
the blob takes it away, and the writer's next piece is refused.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from kilo_catalog.stores.ahead import AheadReader
from kilo_catalog.stores.base import (
    BlobExists,
    BlobNotFound,
    BlobReader,
    BlobStore,
    BlobWriter,
    Capability,
    StoreFull,
    StoreUnavailable,
    StoreUsage,
    Unfinished,
    check_key,
)
from kilo_catalog.stores.settings import StoreSettings
from kilo_common.db.engine import open_engine
from kilo_common.db.types import Timestamp
from kilo_common.errors import ConfigInvalid, KiloError
from kilo_common.ids import random_id
from kilo_common.settings import DatabaseSettings

PIECE = 256 << 10
_metadata = sa.MetaData()
_key = sa.String(128).with_variant(
    mysql.VARCHAR(128, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
)
_blobs = sa.Table(
    "stored_blobs",
    _metadata,
    sa.Column("key", _key, primary_key=True),
    sa.Column("token", sa.String(36), nullable=False),
    sa.Column("whole", sa.Boolean, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("touched_at", Timestamp, nullable=False),
)
_pieces = sa.Table(
    "stored_pieces",
    _metadata,
    sa.Column("key", _key, primary_key=True),
    sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("data", sa.LargeBinary(PIECE), nullable=False),
)


class SqlStore(BlobStore):
    """Blobs in two tables."""

    driver = "sql"
    capabilities = frozenset({Capability.WRITE})

    def __init__(self, url: str) -> None:
        """Use the database at `url`.

        Raises:
            ConfigInvalid: it is no database's.
        """
        if not url:
            raise ConfigInvalid("A sql store needs a database: set stores.NAME.url", key="url")
        # A connection for each transaction: they are made in many threads, and are few.
        self._engine = open_engine(DatabaseSettings(url=url), pooled=False)
        self._made = False
        self._making = threading.Lock()

    @classmethod
    def from_settings(cls, settings: StoreSettings) -> "SqlStore":
        return cls(settings.url)

    def create(self, key: str) -> BlobWriter:
        check_key(key)
        token = random_id()
        row = {
            "key": key, "token": token, "whole": False, "size": 0, "touched_at": datetime.now(UTC),
        }  # fmt: skip
        try:
            with self.transaction() as connection:
                connection.execute(sa.insert(_blobs), row)
        except sa.exc.IntegrityError:
            raise BlobExists(f"There is a blob {key} already, or one was begun", key=key) from None
        return _SqlWriter(self, key, token, 0)

    def resume(self, key: str) -> BlobWriter:
        check_key(key)
        token = random_id()
        with self.transaction() as connection:
            row = connection.execute(sa.select(_blobs).where(_blobs.c.key == key)).first()
            if row is None:
                raise BlobNotFound(f"No blob {key} was begun", key=key)
            if row.whole:
                raise BlobExists(f"The blob {key} is whole", key=key)
            connection.execute(sa.update(_blobs).where(_blobs.c.key == key).values(token=token))
        return _SqlWriter(self, key, token, row.size)

    def open(self, key: str, offset: int = 0, length: int | None = None) -> BlobReader:
        size = self.size(key)
        end = size if length is None else min(size, offset + length)
        return AheadReader(lambda start, _length: self._piece(key, start, end), offset, end)

    def size(self, key: str) -> int:
        check_key(key)
        with self.transaction() as connection:
            size = connection.scalar(
                sa.select(_blobs.c.size).where(_blobs.c.key == key, _blobs.c.whole)
            )
        if size is None:
            raise BlobNotFound(f"There is no blob {key}", key=key)
        return int(size)

    def delete(self, key: str) -> bool:
        check_key(key)
        with self.transaction() as connection:
            found = connection.execute(sa.delete(_blobs).where(_blobs.c.key == key))
            connection.execute(sa.delete(_pieces).where(_pieces.c.key == key))
        return found.rowcount > 0

    def keys(self) -> Iterator[str]:
        with self.transaction() as connection:
            return iter(connection.scalars(sa.select(_blobs.c.key).where(_blobs.c.whole)).all())

    def unfinished(self) -> Iterator[Unfinished]:
        with self.transaction() as connection:
            rows = connection.execute(sa.select(_blobs).where(~_blobs.c.whole)).all()
        return iter([Unfinished(row.key, row.touched_at) for row in rows])

    def location(self, key: str) -> str:
        self.size(key)
        url = self._engine.url
        return f"sql://{url.host or 'localhost'}/{(url.database or '').lstrip('/')}/{key}"

    def usage(self) -> StoreUsage:
        with self.transaction() as connection:
            count, size = connection.execute(
                sa.select(sa.func.count(), sa.func.sum(_blobs.c.size)).where(_blobs.c.whole)
            ).one()
        return StoreUsage(count, int(size or 0), int(size or 0))

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """A connection in a transaction. Raises StoreUnavailable, StoreFull; IntegrityError."""
        try:
            self._make_tables()
            with self._engine.begin() as connection:
                yield connection
        except (KiloError, sa.exc.IntegrityError):
            raise
        except sa.exc.SQLAlchemyError as fault:
            if "full" in str(fault.__cause__ or fault):
                raise StoreFull(f"The store's database has no room left: {fault}") from fault
            raise StoreUnavailable(f"The store's database fails: {fault}") from fault

    def _make_tables(self) -> None:
        if self._made:
            return
        with self._making:
            try:
                _metadata.create_all(self._engine)
            except sa.exc.DatabaseError:
                _metadata.create_all(self._engine)  # another process was making them just now
            self._made = True

    def _piece(self, key: str, start: int, end: int) -> bytes:
        """The bytes from `start` to the end of their piece."""
        statement = (
            sa.select(_pieces.c.start, _pieces.c.data)
            .where(_pieces.c.key == key, _pieces.c.start <= start)
            .order_by(_pieces.c.start.desc())
            .limit(1)
        )
        with self.transaction() as connection:
            row = connection.execute(statement).first()
        if row is None:
            raise StoreUnavailable(f"The blob {key} was deleted while it was read", key=key)
        return bytes(row.data)[start - row.start : end - row.start]


class _SqlWriter(BlobWriter):
    def __init__(self, store: SqlStore, key: str, token: str, kept: int) -> None:
        self._store = store
        self._key = key
        self._token = token
        self._kept = kept
        self._buffer = bytearray()
        self._ended = False

    @property
    def offset(self) -> int:
        return self._kept + len(self._buffer)

    def write(self, data: bytes | memoryview) -> None:
        self._buffer += data
        while len(self._buffer) >= PIECE:
            self._keep(PIECE, whole=False)

    def commit(self, digest: str | None = None) -> int:
        del digest
        self._keep(len(self._buffer), whole=True)
        self._ended = True
        return self._kept

    def cancel(self) -> None:
        if self._ended:
            return
        self._ended = True
        try:
            with self._store.transaction() as connection:
                mine = (_blobs.c.key == self._key) & (_blobs.c.token == self._token)
                if connection.execute(sa.delete(_blobs).where(mine, ~_blobs.c.whole)).rowcount:
                    connection.execute(sa.delete(_pieces).where(_pieces.c.key == self._key))
        except KiloError:
            return  # it is listed as unfinished, and the reaper comes back to it

    def suspend(self) -> int:
        self._keep(len(self._buffer), whole=False)
        self._ended = True
        return self._kept

    def _keep(self, size: int, *, whole: bool) -> None:
        mine = (_blobs.c.key == self._key) & (_blobs.c.token == self._token) & ~_blobs.c.whole
        values = {"size": self._kept + size, "whole": whole, "touched_at": datetime.now(UTC)}
        data = bytes(self._buffer[:size])
        with self._store.transaction() as connection:
            if connection.execute(sa.update(_blobs).where(mine).values(values)).rowcount != 1:
                raise StoreUnavailable(
                    f"The blob {self._key} was deleted while it was written", key=self._key
                )
            if data:
                piece = {"key": self._key, "start": self._kept, "data": data}
                connection.execute(sa.insert(_pieces), piece)
        del self._buffer[:size]
        self._kept += size
