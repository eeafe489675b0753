"""`kilostack stores`: what the blob stores hold, whether it is still right, and moving it."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from kilo_catalog.config import CatalogSettings
from kilo_catalog.service.store_care import Copy, Finding, Problem, StoreCare
from kilo_catalog.wiring import SCHEMA, open_store_care
from kilo_common.db.migrate import upgrade
from kilo_common.errors import KiloError
from kilo_deploy.commands import options
from kilo_deploy.config import StackSettings, prepare_state_dir
from kilo_deploy.processes import open_runtime

EXIT_DAMAGED = 1
F = TypeVar("F", bound=Callable[..., Any])
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


@click.group()
def stores() -> None:
    """Look after the blob stores. Works on the configured stores and records directly, whether a
    stack runs on them or not."""


@stores.command("list")
@options.config_file
@options.state_dir
def list_all(config_file: Path | None, state_dir: Path | None) -> None:
    """List the stores, the default one marked with a star."""
    settings = options.read_settings(config_file, state_dir).catalog
    for name, store in settings.stores.items():
        mark = "*" if name == settings.default_store else " "
        use = "staging" if name == settings.staging_store else ""
        line = f"{mark} {name:20} {store.driver:12} weight {store.weight:<4} {use}"
        click.echo(f"{line} {store.description}".rstrip())


@stores.command()
@click.argument("names", nargs=-1, metavar="[STORE]…")
@options.config_file
@options.state_dir
def usage(names: tuple[str, ...], config_file: Path | None, state_dir: Path | None) -> None:
    """Tell what each STORE holds, or all of them: blobs, their bytes, and the bytes kept for them,
    which are fewer where equal data is kept once."""
    with _care(config_file, state_dir) as (care, settings):
        for name in names or _inspectable(care, settings):
            found = care.usage(name)
            free = "" if found.free is None else f", {_size(found.free)} free"
            kept = "" if found.stored == found.size else f" in {_size(found.stored)}"
            click.echo(f"{name}: {found.blobs} blobs, {_size(found.size)}{kept}{free}")


@stores.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE…")
@options.config_file
@options.state_dir
def verify(images: tuple[str, ...], config_file: Path | None, state_dir: Path | None) -> None:
    """Read every copy of each IMAGE again and compare it with its recorded hash.

    Exits with 1 if one is damaged, missing or cannot be read.
    """
    with _care(config_file, state_dir) as (care, settings):
        copies = list(care.copies(_inspectable(care, settings), images))
        _report(_verified(care, copies), len(copies))


@stores.command()
@click.argument("names", nargs=-1, metavar="[STORE]…")
@options.config_file
@options.state_dir
def scrub(names: tuple[str, ...], config_file: Path | None, state_dir: Path | None) -> None:
    """Read everything in each STORE again, or in all, and compare it with the recorded hashes.

    Also tells of blobs that no image has; these alone are no damage. Exits with 1 if a blob is
    damaged, missing or cannot be read.
    """
    with _care(config_file, state_dir) as (care, settings):
        chosen = names or _inspectable(care, settings)
        copies = list(care.copies(chosen))

        def findings() -> Iterator[Finding]:
            yield from _verified(care, copies)
            for name in chosen:
                yield from care.unknown(name)

        _report(findings(), len(copies))


def _transfer(verb: str, summary: str) -> None:
    @stores.command(verb, help=summary)
    @click.argument("source", metavar="SOURCE")
    @click.argument("target", metavar="TARGET")
    @click.argument("images", nargs=-1, metavar="[IMAGE]…")
    @click.option("--all", "everything", is_flag=True, help="All images in SOURCE.")
    @options.config_file
    @options.state_dir
    def command(
        source: str,
        target: str,
        images: tuple[str, ...],
        everything: bool,
        config_file: Path | None,
        state_dir: Path | None,
    ) -> None:
        if everything == bool(images):
            raise click.UsageError("Name images, or say --all.")
        with _care(config_file, state_dir) as (care, _settings):
            care.find(target)
            copies = list(care.copies([source], images))
            missing = set(images) - {each.image.id for each in copies}
            if missing:
                raise click.UsageError(f"Image {min(missing)} has no data in store {source}.")
            work = care.move if verb == "move" else care.copy
            sys.exit(_transfer_all(copies, target, work, verb))


_transfer(
    "copy",
    "Give each IMAGE that has its data in SOURCE a copy in TARGET as well. Bytes that pass are "
    "compared with the recorded hash. Images that TARGET has already are left out. Exits with 1 if "
    "one could not be copied.",
)
_transfer(
    "move",
    "Move the data of each IMAGE from SOURCE to TARGET; the source lets go of it only when the "
    "target has it, verified. Exits with 1 if one could not be moved.",
)


def _transfer_all(copies: Sequence[Copy], target: str, work: Callable[..., Any], verb: str) -> int:
    done = failed = left = 0
    with _bar() as bar:
        for copy in copies:
            if any(each.store == target for each in copy.image.locations):
                left += 1
                continue
            show = _follow(bar, copy)
            try:
                work(copy, target, show)
                done += 1
            except KiloError as fault:
                failed += 1
                click.echo(f"{copy.image.id}: {fault.message}", err=True)
    past = {"copy": "copied", "move": "moved"}[verb]
    click.echo(f"{done} {past}, {left} there already, {failed} failed")
    return EXIT_DAMAGED if failed else 0


def _verified(care: StoreCare, copies: Sequence[Copy]) -> Iterator[Finding]:
    with _bar() as bar:
        for copy in copies:
            finding = care.verify(copy, _follow(bar, copy))
            if finding is not None:
                yield finding


def _report(findings: Iterator[Finding], checked: int) -> None:
    """Print what was found; ends the process with 1 if it is damage."""
    bad = unknown = 0
    for each in findings:
        bad += each.problem is not Problem.UNKNOWN
        unknown += each.problem is Problem.UNKNOWN
        image = f" image {each.image_id}" if each.image_id else ""
        click.echo(f"{each.problem.value}: store {each.store}{image}: {each.message}")
    known = f", {unknown} that no image has" if unknown else ""
    click.echo(f"{checked} copies read, {bad} damaged or missing{known}")
    if bad:
        sys.exit(EXIT_DAMAGED)


def _bar() -> Progress:
    """Drawn on a terminal only, on its error side: what is printed can be piped on."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _follow(bar: Progress, copy: Copy) -> Callable[[int], None]:
    name = copy.image.name or copy.image.id
    task = bar.add_task(f"{name} in {copy.location.store}", total=copy.image.size)
    return lambda done: bar.update(task, completed=done)


@contextmanager
def _care(
    config_file: Path | None, state_dir: Path | None
) -> Iterator[tuple[StoreCare, CatalogSettings]]:
    settings: StackSettings = options.read_settings(config_file, state_dir)
    prepare_state_dir(Path(settings.state_dir))
    upgrade(settings.catalog.database, SCHEMA)
    with open_store_care(settings.catalog, open_runtime(settings)) as care:
        yield care, settings.catalog


def _inspectable(care: StoreCare, settings: CatalogSettings) -> list[str]:
    """The stores that can be looked into from here."""
    names = []
    for name in settings.stores:
        try:
            care.find(name)
        except KiloError as fault:
            click.echo(f"left out: {fault.message}", err=True)
        else:
            names.append(name)
    return names


def _size(count: int) -> str:
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit else f"{count} B"
