"""`kilostack artifact`: push, pull and look at artifacts from a terminal."""

import json
import mimetypes
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table
from rich.tree import Tree

from kilo_common.errors import InvalidInput, NotFound
from kilo_deploy.client import BLOCK, ApiClient
from kilo_deploy.reach import catalog_options, open_catalog

GENERIC = "generic"
Artifact = Mapping[str, Any]
_COMMON = frozenset({"description", "tags", "metadata"})


class ArtifactUnknown(NotFound):
    """There is no such artifact."""

    code = "deploy.artifact_unknown"


class ArtifactInput(InvalidInput):
    """What was typed means nothing for that type."""

    code = "deploy.artifact_input"


@click.group()
def artifact() -> None:
    """Push, pull and look at artifacts: templates, packages, datasets, models, any files."""


@artifact.command()
@click.argument("name")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--type", "kind", default=GENERIC, show_default=True, help="The type's name.")
@click.option("--version", default="0.0.0", show_default=True, help="Such as 1.2.0.")
@click.option("--set", "given", multiple=True, metavar="FIELD=VALUE", help="A field; JSON or text.")
@click.option("--blob", help="The field for the files; default: the type's first one.")
@click.option("--draft", is_flag=True, help="Leave it a draft: do not activate it.")
@catalog_options
def push(
    name: str,
    files: tuple[Path, ...],
    kind: str,
    version: str,
    given: tuple[str, ...],
    blob: str | None,
    draft: bool,
    url: str | None,
    project: str | None,
    state_dir: Path | None,
) -> None:
    """Make artifact NAME with these FILES in it, and activate it."""
    catalog = open_catalog(url, project, state_dir)
    schema = catalog.json("GET", f"/schemas/{quote(kind, safe='')}")["schemas"][kind]
    places = list(_places(schema, files, blob))
    body = {"name": name, "version": version} | dict(map(_assignment, given))
    made = catalog.json("POST", f"/artifacts/{quote(kind, safe='')}", body)
    path = f"/artifacts/{kind}/{made['id']}"
    try:
        with _progress() as progress:
            for place, file in places:
                _upload(catalog, f"{path}/{quote(place)}", file, progress)
        if not draft:
            step = {"op": "add", "path": "/status", "value": "active"}
            made = catalog.json("PATCH", path, [step])
    except BaseException:
        # Half an artifact is of no use, and would keep its name from the next try.
        catalog.json("DELETE", path)
        raise
    click.echo(made["id"])


@artifact.command()
@click.argument("which", metavar="ID|NAME[@VERSION]")
@click.option("--type", "kind", default="all", help="The type's name; default: any.")
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), default=Path())
@catalog_options
def pull(
    which: str, kind: str, to: Path, url: str | None, project: str | None, state_dir: Path | None
) -> None:
    """Write the files of an artifact into a folder (the present one)."""
    catalog = open_catalog(url, project, state_dir)
    found = _find(catalog, which, kind)
    to.mkdir(parents=True, exist_ok=True)
    with _progress() as progress:
        for place, blob in _blobs(found):
            if blob["external"]:
                Console(stderr=True).print(f"{place} is elsewhere: {blob['url']}", markup=False)
                continue
            # The name is whoever pushed it chose; only its last part may decide about a path.
            target = to / (Path(place).name or "blob")
            task = progress.add_task(target.name, total=blob["size"])
            part = target.with_name(target.name + ".part")
            with part.open("wb") as file:
                for block in catalog.download(blob["url"]):
                    file.write(block)
                    progress.advance(task, len(block))
            part.replace(target)


@artifact.command("list")
@click.option("--type", "kind", default="all", help="The type's name; default: any.")
@click.option("--search", help="Words in name, description, tags, metadata.")
@click.option("--where", multiple=True, metavar="FIELD=VALUE", help="Such as size=gt:5.")
@click.option("--latest", is_flag=True, help="Of each name the greatest version alone.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
@catalog_options
def list_(
    kind: str,
    search: str | None,
    where: tuple[str, ...],
    latest: bool,
    as_json: bool,
    url: str | None,
    project: str | None,
    state_dir: Path | None,
) -> None:
    """List artifacts, the newest first."""
    query = [_split(each) for each in where]
    query += [("q", search)] if search else []
    query += [("version", "latest")] if latest else []
    found = _all(open_catalog(url, project, state_dir), kind, query)
    if as_json:
        for each in found:
            click.echo(json.dumps(each))
        return
    table = Table("id", "type", "name", "version", "status", "visibility")
    for each in found:
        table.add_row(
            each["id"], each["type_name"], escape(each["name"]), each["version"], each["status"],
            each["visibility"],
        )  # fmt: skip
    Console(highlight=False).print(table if table.row_count else "Nothing.")


@artifact.command()
@click.argument("which", metavar="ID|NAME[@VERSION]")
@click.option("--type", "kind", default="all", help="The type's name; default: any.")
@catalog_options
def show(
    which: str, kind: str, url: str | None, project: str | None, state_dir: Path | None
) -> None:
    """Show an artifact with all its fields, as JSON."""
    found = _find(open_catalog(url, project, state_dir), which, kind)
    click.echo(json.dumps(found, indent=2, ensure_ascii=False))


@artifact.command()
@click.argument("which", metavar="ID|NAME[@VERSION]")
@click.option("--type", "kind", default="all", help="The type's name; default: any.")
@catalog_options
def deps(
    which: str, kind: str, url: str | None, project: str | None, state_dir: Path | None
) -> None:
    """Show what an artifact depends on, as a tree."""
    catalog = open_catalog(url, project, state_dir)
    first = _find(catalog, which, kind)
    path = f"/artifacts/{first['type_name']}/{first['id']}/dependencies"
    needed = catalog.json("GET", path)["dependencies"]

    def grow(tree: Tree, one: Artifact) -> None:
        for each in needed.get(one["id"], []):
            grow(tree.add(_title(each)), each)

    root = Tree(_title(first))
    grow(root, first)
    Console(highlight=False).print(root)


def _title(one: Artifact) -> str:
    return f"{escape(one['name'])} {one['version']} ({one['type_name']}, {one['status']})"


def _find(catalog: ApiClient, which: str, kind: str) -> Artifact:
    """The artifact of that id, or the newest version of that name."""
    name, at, version = which.partition("@")
    query = [("id", which)] if not at else []
    found = list(_all(catalog, kind, query)) if query else []
    if not found:
        query = [("name", f"eq:{name}"), ("version", f"eq:{version}" if at else "latest")]
        found = list(_all(catalog, kind, query))
    if not found:
        raise ArtifactUnknown(f"There is no artifact {which!r} of {_of(kind)}")
    if len(found) > 1:
        ids = ", ".join(f"{each['id']} ({each['type_name']})" for each in found[:5])
        raise ArtifactInput(f"{which!r} is the name of several artifacts; take an id: {ids}")
    one: Artifact = found[0]
    return one


def _of(kind: str) -> str:
    return "any type" if kind == "all" else f"type {kind}"


def _all(catalog: ApiClient, kind: str, query: list[tuple[str, str]]) -> Iterator[Artifact]:
    path: str | None = f"/artifacts/{quote(kind, safe='')}?{urlencode(query)}"
    while path:
        page = catalog.json("GET", path)
        yield from page["artifacts"]
        path = page.get("next")


def _places(
    schema: Mapping[str, Any], files: tuple[Path, ...], wanted: str | None
) -> Iterator[tuple[str, Path]]:
    """Where in the artifact each file belongs."""
    fields = {
        name: about["glareType"]
        for name, about in schema["properties"].items()
        if about.get("glareType") in ("Blob", "BlobDict")
    }
    if wanted is not None and wanted not in fields:
        raise ArtifactInput(
            f"{schema['name']} has no bytes {wanted!r}; it has: {', '.join(fields)}"
        )
    single = next((name for name, kind in fields.items() if kind == "Blob"), None)
    folder = next((name for name, kind in fields.items() if kind == "BlobDict"), None)
    field = wanted or (single if len(files) == 1 and single else folder or single)
    if files and field is None:
        raise ArtifactInput(f"{schema['name']} has no place for files")
    if len(files) > 1 and field is not None and fields[field] == "Blob":
        raise ArtifactInput(f"{field} takes one file, and {len(files)} were given")
    for file in files:
        assert field is not None, "checked above"
        yield (field if fields[field] == "Blob" else f"{field}/{file.name}"), file


def _blobs(found: Artifact) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The blobs of an artifact with their paths."""
    for name, value in found.items():
        if isinstance(value, dict) and {"sha256", "external"} <= value.keys():
            yield name, value
        elif isinstance(value, dict) and name not in _COMMON:
            for inside, each in value.items():
                if isinstance(each, dict) and {"sha256", "external"} <= each.keys():
                    yield f"{name}/{inside}", each


def _upload(catalog: ApiClient, path: str, file: Path, progress: Progress) -> None:
    size = file.stat().st_size
    task = progress.add_task(file.name, total=size)
    content_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"

    def blocks() -> Iterator[bytes]:
        with file.open("rb") as source:
            while block := source.read(BLOCK):
                yield block
                progress.advance(task, len(block))

    catalog.upload(path, blocks(), size, content_type)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=Console(stderr=True),
    )


def _assignment(text: str) -> tuple[str, Any]:
    name, value = _split(text)
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _split(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ArtifactInput(f"{text!r} is not FIELD=VALUE")
    return name, value
