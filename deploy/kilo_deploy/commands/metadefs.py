"""`kilostack metadefs`: metadata definitions from files."""

from pathlib import Path

import click

from kilo_catalog import definitions
from kilo_catalog.wiring import SCHEMA, open_metadefs
from kilo_common.context import system_context
from kilo_common.db.migrate import upgrade
from kilo_common.errors import InvalidInput, KiloError
from kilo_deploy.commands import options
from kilo_deploy.config import prepare_state_dir
from kilo_deploy.processes import open_runtime


class DefinitionRefused(InvalidInput):
    """A file does not hold a definition that can be kept."""

    code = "deploy.definition_refused"


@click.group()
def metadefs() -> None:
    """Take in metadata definitions: what properties mean, and what they may hold."""


@metadefs.command()
@click.argument("places", nargs=-1, type=click.Path(path_type=Path, exists=True), metavar="[PATH]…")
@click.option("--standard", is_flag=True, help="Load the definitions that come with Kilostack.")
@click.option("--replace", is_flag=True, help="Put them in the place of those that are there.")
@click.option("--owner", help="The project they belong to if they name none.")
@options.config_file
@options.state_dir
def load(
    places: tuple[Path, ...],
    standard: bool,
    replace: bool,
    owner: str | None,
    config_file: Path | None,
    state_dir: Path | None,
) -> None:
    """Load the definitions in each PATH: a JSON file of one namespace, or a folder of such files.

    They go straight into the catalog's database, whether a stack runs on it or not. A namespace
    that is there already is left as it is, unless --replace is given.
    """
    if standard == bool(places):
        raise click.UsageError("Name files or folders, or say --standard.")
    files = [file for place in (places or (definitions.FOLDER,)) for file in _files(place)]
    settings = options.read_settings(config_file, state_dir)
    prepare_state_dir(Path(settings.state_dir))
    upgrade(settings.catalog.database, SCHEMA)
    with open_metadefs(settings.catalog, open_runtime(settings)) as operations:
        for file in files:
            try:
                document = definitions.read(file)
                outcome = operations.load(system_context(owner), document, replace=replace)
            except KiloError as fault:
                raise DefinitionRefused(f"{file}: {fault}", file=str(file)) from fault
            click.echo(f"{document['namespace']}: {outcome.value}")


def _files(place: Path) -> list[Path]:
    """The files that a path stands for.

    Raises:
        DefinitionRefused: it is a folder without any.
    """
    if not place.is_dir():
        return [place]
    found = definitions.files(place)
    if not found:
        raise DefinitionRefused(f"{place} has no *.json in it", folder=str(place))
    return found
