"""The migrations make exactly the tables that the code works with."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from kilo_catalog.db.models import metadata
from kilo_catalog.wiring import SCHEMA
from kilo_common.db.engine import open_engine
from kilo_common.db.migrate import downgrade, upgrade
from kilo_common.settings import DatabaseSettings


def describe(settings: DatabaseSettings) -> dict[str, object]:
    engine = open_engine(settings)
    inspector = sa.inspect(engine)
    found: dict[str, object] = {}
    for name in sorted(set(inspector.get_table_names()) - {SCHEMA.version_table}):
        columns = {
            each["name"]: (str(each["type"]), each["nullable"])
            for each in inspector.get_columns(name)
        }
        indexes = {each["name"]: each["column_names"] for each in inspector.get_indexes(name)}
        found[name] = (columns, indexes, inspector.get_pk_constraint(name)["constrained_columns"])
    engine.dispose()
    return found


def test_migrations_and_models_agree(tmp_path: Path) -> None:
    migrated = DatabaseSettings(url=f"sqlite:///{tmp_path}/migrated.db")
    upgrade(migrated, SCHEMA)
    modelled = DatabaseSettings(url=f"sqlite:///{tmp_path}/modelled.db")
    engine = open_engine(modelled)
    metadata.create_all(engine)
    engine.dispose()
    assert describe(migrated) == describe(modelled)


@pytest.mark.services
def test_downgrade_takes_everything_away(service_url: str) -> None:
    settings = DatabaseSettings(url=service_url)
    assert upgrade(settings, SCHEMA)
    assert not upgrade(settings, SCHEMA)
    assert set(describe(settings)) == set(metadata.tables)
    downgrade(settings, SCHEMA, "base")
    assert describe(settings) == {}
