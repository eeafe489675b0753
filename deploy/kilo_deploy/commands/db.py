"""`kilostack db`: the schemas of the two databases."""

from collections.abc import Iterator
from pathlib import Path

import click

from kilo_catalog import wiring as catalog_wiring
from kilo_common.db import migrate
from kilo_common.db.migrate import Schema
from kilo_common.settings import DatabaseSettings
from kilo_deploy.commands import options
from kilo_deploy.config import StackSettings, prepare_state_dir
from kilo_messaging import wiring as messaging_wiring

SERVICES = ("catalog", "messaging")


@click.group()
def db() -> None:
    """Bring the databases up to date, or say where they are."""


@db.command()
@options.config_file
@options.state_dir
def upgrade(config_file: Path | None, state_dir: Path | None) -> None:
    """Migrate both databases to the newest revision; safe to repeat."""
    settings = options.read_settings(config_file, state_dir)
    prepare_state_dir(Path(settings.state_dir))
    for name, database, schema in _databases(settings):
        changed = migrate.upgrade(database, schema)
        word = "upgraded to" if changed else "is already at"
        click.echo(f"{name}: {word} revision {schema.head}")


@db.command()
@click.argument("service", type=click.Choice(SERVICES))
@click.argument("revision")
@options.config_file
@options.state_dir
def downgrade(
    service: str, revision: str, config_file: Path | None, state_dir: Path | None
) -> None:
    """Take one database back to REVISION (`base`: empty). What newer revisions hold is lost."""
    settings = options.read_settings(config_file, state_dir)
    for name, database, schema in _databases(settings):
        if name == service:
            migrate.downgrade(database, schema, revision)
            click.echo(f"{name}: now at revision {revision}")


@db.command()
@options.config_file
@options.state_dir
def status(config_file: Path | None, state_dir: Path | None) -> None:
    """Say which revision each database is at."""
    for name, database, schema in _databases(options.read_settings(config_file, state_dir)):
        present = migrate.current_revision(database, schema) or "none"
        click.echo(f"{name}: revision {present}, newest {schema.head}")


def _databases(settings: StackSettings) -> Iterator[tuple[str, DatabaseSettings, Schema]]:
    yield "catalog", settings.catalog.database, catalog_wiring.SCHEMA
    if schema := messaging_wiring.schema_of(settings.messaging):
        yield "messaging", settings.messaging.database, schema
