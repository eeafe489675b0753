"""`kilostack images`: what can be done to images besides what OpenStack's own client does."""

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from rich.console import Console

from kilo_deploy.client import ApiClient
from kilo_deploy.reach import catalog_options, open_catalog
from kilo_deploy.task_watch import TaskWatch

EXIT_FAILED = 1
image_argument = click.argument("image", metavar="IMAGE")


@click.group()
def images() -> None:
    """Convert images, and see what their data was found to be."""


@images.command()
@image_argument
@click.option("--to", "disk_format", required=True, help="raw, qcow2, vmdk, vhd, vhdx or vdi.")
@click.option(
    "--in-place",
    is_flag=True,
    help="Give the image itself the new data; the old goes when the new is verified.",
)
@click.option("--compress", is_flag=True, help="Compress the data inside (qcow2, vmdk).")
@click.option("--name", help="The new image's name; default: the old one's and the format.")
@click.option("--store", "stores", multiple=True, help="A store for the new image's data.")
@click.option("--no-wait", is_flag=True, help="Print the task's id and let it work by itself.")
@click.option("--json", "as_json", is_flag=True, help="Print the task as JSON at the end.")
@catalog_options
def convert(
    image: str,
    disk_format: str,
    in_place: bool,
    compress: bool,
    name: str | None,
    stores: tuple[str, ...],
    no_wait: bool,
    as_json: bool,
    url: str | None,
    project: str | None,
    state_dir: Path | None,
) -> None:
    """Convert IMAGE (its id) to another disk format, and follow the task until it ends.

    The exit code is 1 if the conversion failed; the image is then as it was before.
    """
    catalog = open_catalog(url, project, state_dir)
    body: dict[str, Any] = {"disk_format": disk_format, "in_place": in_place, "compress": compress}
    body |= {"name": name} if name is not None else {}
    body |= {"stores": list(stores)} if stores else {}
    path = f"/v2/images/{quote(image, safe='')}/actions/convert"
    task = catalog.json("POST", path, body)
    if not no_wait:
        task = _follow(catalog, task, quiet=as_json)
    if as_json:
        click.echo(json.dumps(task))
    else:
        Console(soft_wrap=True, highlight=False).print(_outcome(task), markup=False)
    if task["status"] == "failure":
        sys.exit(EXIT_FAILED)


@images.command()
@image_argument
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@catalog_options
def inspect(
    image: str, as_json: bool, url: str | None, project: str | None, state_dir: Path | None
) -> None:
    """What the data of IMAGE (its id) was found to be when it came in."""
    catalog = open_catalog(url, project, state_dir)
    found = catalog.json("GET", f"/v2/images/{quote(image, safe='')}/introspection")
    if as_json:
        click.echo(json.dumps(found))
        return
    console = Console(soft_wrap=True, highlight=False)
    console.print(found["summary"], markup=False)
    for name, value in found["facts"].items():
        console.print(f"  {name}: {value}", markup=False)
    for warning in found["warnings"]:
        console.print(f"  ! {warning}", markup=False)


def _follow(catalog: ApiClient, task: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    """The task once it has ended."""
    path = f"/v2/images/{quote(task['image_id'], safe='')}/tasks"

    def look() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = catalog.json("GET", path)["tasks"]
        return [each for each in found if each["id"] == task["id"]]

    console = Console(soft_wrap=True, highlight=False, quiet=quiet)
    return dict(TaskWatch(look, console).follow()[0])


def _outcome(task: dict[str, Any]) -> str:
    if task["status"] == "success":
        result = task["result"]
        return f"image {task['image_id']} is {result['disk_format']}, {result['size']} bytes"
    return f"task {task['id']} for image {task['image_id']}: {task['message'] or task['status']}"
