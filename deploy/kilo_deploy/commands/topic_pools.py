"""`kilostack topics move` and `where`: on which pool a topic lies."""

import os
import uuid
from pathlib import Path
from urllib.parse import quote

import click

from kilo_deploy.accounts import sign_in
from kilo_deploy.client import ApiClient
from kilo_deploy.commands import options
from kilo_deploy.config import default_state_dir
from kilo_deploy.state import find_running
from kilo_deploy.watch import StackUnreachable

MOVE_TIMEOUT = 3600.0
"""Seconds that a topic with very much in it may take to move."""
_project = click.option("--project", help="The project whose topic it is; default: the stack's.")


@click.command()
@click.argument("name")
@_project
@options.state_dir
def where(name: str, project: str | None, state_dir: Path | None) -> None:
    """Say on which pool topic NAME lies."""
    client = _connect(project, state_dir)
    click.echo(client.json("GET", _path(name))["pool"])


@click.command()
@click.argument("name")
@click.argument("pool")
@_project
@options.state_dir
def move(name: str, pool: str, project: str | None, state_dir: Path | None) -> None:
    """Move topic NAME with all that is in it to POOL, while clients go on.

    `main` is the main database. Topics that share dead letters move together.
    """
    moved = _connect(project, state_dir).json("PUT", _path(name), {"pool": pool})
    if not moved["topics"]:
        click.echo(f"{name} lies on pool {pool} already.")
        return
    parts = [
        _count(moved[kind], kind.removesuffix("s"), kind)
        for kind in ("messages", "subscriptions", "deliveries")
    ]
    click.echo(f"Moved {', '.join(moved['topics'])} to pool {pool}: {', '.join(parts)}.")


def _count(number: int, one: str, several: str) -> str:
    singular = {"deliverie": "delivery"}.get(one, one)
    return f"{number} {singular if number == 1 else several}"


def _path(name: str) -> str:
    return f"/v2/topics/{quote(name, safe='')}/placement"


def _connect(project: str | None, state_dir: Path | None) -> ApiClient:
    running = find_running(state_dir or default_state_dir(os.environ))
    if running is None:
        raise StackUnreachable("No stack runs here. Start it with: kilostack up")
    project = project or running.project
    headers = sign_in(running, project, os.environ) | {
        "Client-ID": str(uuid.uuid4()),
        "X-Project-Id": project,
    }
    return ApiClient(running.messaging_url, headers, timeout=MOVE_TIMEOUT)
