"""Column types that behave the same on SQLite, PostgreSQL and MariaDB."""

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Timestamp(sa.TypeDecorator[datetime]):
    """An aware time in UTC, kept as whole microseconds since 1970.

    An integer sorts and compares the same everywhere and loses nothing on the way.
    """

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Any) -> int | None:
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any | None, _dialect: Any) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(microseconds=int(value))
