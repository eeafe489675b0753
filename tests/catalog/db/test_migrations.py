"""The migrations make exactly the tables that the code works with."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from contracts.metadefs import FULL
from contracts.unit_of_work import Records, image, member
from kilo_catalog.db.models import metadata
from kilo_catalog.db.sql import SqlUnitOfWork
from kilo_catalog.domain.image import Image
from kilo_catalog.wiring import SCHEMA
from kilo_common.db.database import Database
from kilo_common.db.engine import open_engine
from kilo_common.db.migrate import downgrade, upgrade
from kilo_common.settings import DatabaseSettings

FIRST_TABLES = {"images", "image_tags", "image_properties", "doomed_blobs", "outbox"}


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


def add_rows(settings: DatabaseSettings) -> Image:
    """An image that is shared with a project, and what belongs to it."""
    kept = image(tags=("a",), properties={"k": "v"})
    with ThreadPoolExecutor(2) as executor:
        database = Database(settings, executor)
        records = Records(SqlUnitOfWork(database))
        records.add(kept)
        records.share(member(0, "p2"))
        records.unit_of_work.write(lambda tx: tx.metadefs.add(FULL))
        database.close()
    return kept


def check_down_and_up(settings: DatabaseSettings) -> None:
    upgrade(settings, SCHEMA)
    kept = add_rows(settings)
    downgrade(settings, SCHEMA, "0001")
    assert set(describe(settings)) == FIRST_TABLES
    upgrade(settings, SCHEMA)
    with ThreadPoolExecutor(2) as executor:
        database = Database(settings, executor)
        records = Records(SqlUnitOfWork(database))
        assert records.get(kept.id) == kept
        assert records.members(0) == []
        records.share(member(0, "p2"))
        assert records.numbers(project="p2") == [0]
        records.unit_of_work.write(lambda tx: tx.metadefs.add(FULL))
        database.close()


def test_records_survive_the_way_down_and_up(tmp_path: Path) -> None:
    check_down_and_up(DatabaseSettings(url=f"sqlite:///{tmp_path}/catalog.db"))


@pytest.mark.services
def test_records_survive_the_way_down_and_up_on_servers(service_url: str) -> None:
    check_down_and_up(DatabaseSettings(url=service_url))


@pytest.mark.services
def test_downgrade_takes_everything_away(service_url: str) -> None:
    settings = DatabaseSettings(url=service_url)
    assert upgrade(settings, SCHEMA)
    assert not upgrade(settings, SCHEMA)
    assert set(describe(settings)) == set(metadata.tables)
    downgrade(settings, SCHEMA, "base")
    assert describe(settings) == {}
