"""`kilostack tasks`: see what the catalog's workers do, and stop it or begin it again."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kilo_common.errors import NotFound
from kilo_deploy.client import ApiClient
from kilo_deploy.reach import catalog_options, open_catalog
from kilo_deploy.task_watch import ENDED, TaskWatch, words_for

EXIT_FAILED = 1
Task = Mapping[str, Any]
image_option = click.option(
    "--image", help="The image that the tasks are about; who is no administrator must name it."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class TaskUnknown(NotFound):
    """There is no such task."""

    code = "deploy.task_unknown"


@click.group()
def tasks() -> None:
    """See and steer the work on images: imports, copies, conversions."""


@tasks.command("list")
@image_option
@click.option("--status", type=click.Choice(["pending", "processing", "success", "failure"]))
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
@catalog_options
def list_(
    image: str | None,
    status: str | None,
    limit: int,
    as_json: bool,
    url: str | None,
    project: str | None,
    state_dir: Path | None,
) -> None:
    """The newest tasks, newest first."""
    catalog = open_catalog(url, project, state_dir)
    found = _of_image(catalog, image)[::-1] if image else _list(catalog, status, limit)
    shown = [each for each in found if status in (None, each["status"])][:limit]
    if as_json:
        click.echo(json.dumps(shown))
        return
    table = Table("task", "type", "project", "image", "status", "%", "since", box=None)
    for each in shown:
        percent = str(each["progress"]["percent"])
        facts = (each["id"], each["type"], each["owner"], each["image_id"], each["status"], percent)
        table.add_row(*(str(fact or "-") for fact in facts), each["created_at"])
    Console(soft_wrap=True, width=None if sys.stdout.isatty() else 200).print(table)


@tasks.command()
@click.argument("task")
@image_option
@json_option
@catalog_options
def show(
    task: str,
    image: str | None,
    as_json: bool,
    url: str | None,
    project: str | None,
    state_dir: Path | None,
) -> None:
    """Everything about one task."""
    found = _find(open_catalog(url, project, state_dir), task, image)
    if as_json:
        click.echo(json.dumps(found))
        return
    table = Table(box=None, show_header=False)
    for name, value in found.items():
        text = value if isinstance(value, str) else json.dumps(value)
        table.add_row(name, Text(text))
    Console(soft_wrap=True).print(table)


@tasks.command()
@click.argument("task", nargs=-1)
@image_option
@catalog_options
def watch(
    task: Sequence[str],
    image: str | None,
    url: str | None,
    project: str | None,
    state_dir: Path | None,
) -> None:
    """Follow tasks until they end; without a name, all that are waiting or at work.

    The exit code is 1 if one of them failed.
    """
    catalog = open_catalog(url, project, state_dir)
    names = list(task) or [each["id"] for each in _at_work(catalog, image)]
    console = Console(soft_wrap=True, highlight=False)
    if not names:
        console.print("Nothing waits and nothing is at work.")
        return
    follow = TaskWatch(lambda: [_find(catalog, each, image) for each in names], console)
    try:
        ended = follow.follow()
    except KeyboardInterrupt:
        return
    if any(each["status"] == "failure" for each in ended):
        sys.exit(EXIT_FAILED)


@tasks.command()
@click.argument("task")
@image_option
@catalog_options
def cancel(
    task: str, image: str | None, url: str | None, project: str | None, state_dir: Path | None
) -> None:
    """Stop a task; its image is then as it was before."""
    _act(open_catalog(url, project, state_dir), task, image, "cancel")


@tasks.command()
@click.argument("task")
@image_option
@catalog_options
def retry(
    task: str, image: str | None, url: str | None, project: str | None, state_dir: Path | None
) -> None:
    """Begin a failed task again."""
    _act(open_catalog(url, project, state_dir), task, image, "retry")


def _act(catalog: ApiClient, task_id: str, image: str | None, action: str) -> None:
    image_id = image or _find(catalog, task_id, None)["image_id"]
    path = f"/v2/images/{quote(image_id, safe='')}/tasks/{quote(task_id, safe='')}/actions/{action}"
    task = catalog.json("POST", path)
    Console(soft_wrap=True, highlight=False).print(f"{task_id} {words_for(task)}", markup=False)


def _find(catalog: ApiClient, task_id: str, image: str | None) -> Task:
    if image is None:
        found: Task = catalog.json("GET", f"/v2/tasks/{quote(task_id, safe='')}")
        return found
    for each in _of_image(catalog, image):
        if each["id"] == task_id:
            return each
    raise TaskUnknown(f"The image {image} has no task {task_id}")


def _of_image(catalog: ApiClient, image: str) -> list[Task]:
    found: list[Task] = catalog.json("GET", f"/v2/images/{quote(image, safe='')}/tasks")["tasks"]
    return found


def _list(catalog: ApiClient, status: str | None, limit: int) -> list[Task]:
    wanted = {"limit": str(limit), **({"status": status} if status else {})}
    found: list[Task] = catalog.json("GET", f"/v2/tasks?{urlencode(wanted)}")["tasks"]
    return found


def _at_work(catalog: ApiClient, image: str | None) -> list[Task]:
    if image is not None:
        return [each for each in _of_image(catalog, image) if each["status"] not in ENDED]
    return [each for status in ("processing", "pending") for each in _list(catalog, status, 1000)]
