"""Schema migrations: each service keeps its alembic scripts in its own package.

alembic is imported only when a migration is due: a start on an up-to-date database does not pay.
"""

import importlib.resources
import re
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from kilo_common.db.database import DatabaseUnavailable
from kilo_common.db.engine import open_engine
from kilo_common.errors import ConfigInvalid
from kilo_common.settings import DatabaseSettings

_REVISION = re.compile(r"^(\d{4})_\w+\.py$")


class SchemaTooNew(ConfigInvalid):
    """The database was made by a later release."""

    code = "common.database.schema_too_new"


@dataclass(frozen=True)
class Schema:
    """Where a service's migrations are."""

    package: str
    """The package with `env.py` and `versions/NNNN_what.py`: `kilo_catalog.db.migrations`."""
    version_table: str

    @property
    def folder(self) -> Path:
        return Path(str(importlib.resources.files(self.package)))

    @property
    def head(self) -> str:
        """The newest revision: the greatest number in `versions/`."""
        names = (path.name for path in (self.folder / "versions").iterdir())
        return max(match[1] for match in map(_REVISION.match, names) if match)


def current_revision(settings: DatabaseSettings, schema: Schema) -> str | None:
    """The revision the database is at, or None when it is empty.

    Raises:
        DatabaseUnavailable: no answer.
    """
    engine = open_engine(settings)
    try:
        with engine.connect() as connection:
            if not sa.inspect(connection).has_table(schema.version_table):
                return None
            table = sa.table(schema.version_table, sa.column("version_num"))
            revision: str | None = connection.scalar(sa.select(table.c.version_num))
            return revision
    except sa.exc.OperationalError as fault:
        raise DatabaseUnavailable(
            f"The database at {engine.url!r} cannot be used: {fault.orig}"
        ) from fault
    finally:
        engine.dispose()


def upgrade(settings: DatabaseSettings, schema: Schema, revision: str = "head") -> bool:
    """Bring the database up to `revision`; whether there was anything to do.

    Raises:
        SchemaTooNew: the database is beyond the newest revision known here.
    """
    present = current_revision(settings, schema)
    wanted = schema.head if revision == "head" else revision
    if present == wanted:
        return False
    if present is not None and present > schema.head:
        raise SchemaTooNew(
            f"The database is at revision {present}, newer than this release knows "
            f"({schema.head}): install the release that made it.",
            present=present,
            known=schema.head,
        )
    _run(settings, schema, "upgrade", wanted)
    return True


def downgrade(settings: DatabaseSettings, schema: Schema, revision: str) -> None:
    """Take the database back to `revision` (`base` for empty)."""
    _run(settings, schema, "downgrade", revision)


def _run(settings: DatabaseSettings, schema: Schema, action: str, revision: str) -> None:
    from alembic import command  # noqa: PLC0415 - heavy, and only needed when the schema changes
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(schema.folder).replace("%", "%%"))
    config.attributes["schema"] = schema
    engine = open_engine(settings)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            getattr(command, action)(config, revision)
    finally:
        engine.dispose()
