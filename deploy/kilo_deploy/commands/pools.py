"""`kilostack pools`: the stores that topics lie on."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kilo_deploy.commands.messaging_api import connect, every, of_project


@click.group()
def pools() -> None:
    """See, add and remove the stores that topics lie on beside the main database."""


@pools.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
@of_project
def list_(as_json: bool, project: str | None, state_dir: Path | None) -> None:
    """List the pools, and whether they answer."""
    client = connect(project, state_dir)
    answers = client.json("GET", "/v2/health")["pools"]
    found = [
        {**each, "reachable": answers.get(each["name"], {}).get("storage_reachable", False)}
        for each in every(client, "pools", detailed="true")
    ]
    if as_json:
        for each in found:
            click.echo(json.dumps(each))
        return
    table = Table("pool", "weight", "flavor", "answers", "uri")
    for each in found:
        table.add_row(
            escape(each["name"]),
            str(each["weight"]),
            escape(each["flavor"] or ""),
            "yes" if each["reachable"] else "no",
            escape(each["uri"]),
        )
    Console().print(table)


@pools.command()
@click.argument("name")
@click.argument("uri")
@click.option("--weight", default=1, show_default=True, help="How many new topics, among others.")
@click.option("--flavor", help="A flavor that it belongs to.")
@of_project
def add(
    name: str,
    uri: str,
    weight: int,
    flavor: str | None,
    project: str | None,
    state_dir: Path | None,
) -> None:
    """Add pool NAME at URI, or change it; new topics may lie on it at once.

    URI is that of a database or a Redis, such as postgresql://USER:PASSWORD@HOST/NAME,
    redis://HOST:PORT/DB or sqlite:////PATH.
    """
    body: dict[str, Any] = {"uri": uri, "weight": weight}
    if flavor is not None:
        body["flavor"] = flavor
    connect(project, state_dir).json("PUT", _path(name), body)
    click.echo(f"Pool {name} is ready.")


@pools.command()
@click.argument("name")
@of_project
def remove(name: str, project: str | None, state_dir: Path | None) -> None:
    """Remove pool NAME; topics that lie on it must be moved first."""
    connect(project, state_dir).json("DELETE", _path(name))
    click.echo(f"Pool {name} is gone; its store is as it was.")


def _path(name: str) -> str:
    return f"/v2/pools/{quote(name, safe='')}"
