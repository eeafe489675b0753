"""`kilostack topics list`, `stats`, `purge`, `redrive`, `where`, `move`: looking after topics."""

import json
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kilo_deploy.commands.messaging_api import connect, count, every, of_project, path_of


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
@of_project
def list_(as_json: bool, project: str | None, state_dir: Path | None) -> None:
    """List the project's topics with how many messages they hold."""
    client = connect(project, state_dir)
    rows = [
        {"name": each["name"], **client.json("GET", path_of(each["name"], "stats"))["messages"]}
        for each in every(client, "topics")
    ]
    if as_json:
        for row in rows:
            figures = {key: row[key] for key in ("name", "free", "claimed", "total")}
            click.echo(json.dumps(figures))
        return
    table = Table("topic", "free", "claimed", "all")
    for row in rows:
        table.add_row(escape(row["name"]), str(row["free"]), str(row["claimed"]), str(row["total"]))
    Console().print(table)


@click.command()
@click.argument("name")
@of_project
def stats(name: str, project: str | None, state_dir: Path | None) -> None:
    """Print how topic NAME stands, as JSON."""
    found = connect(project, state_dir).json("GET", path_of(name, "stats"))["messages"]
    click.echo(json.dumps(found, indent=2))


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@of_project
def purge(name: str, yes: bool, project: str | None, state_dir: Path | None) -> None:
    """Remove the messages of topic NAME, but for those that somebody has claimed."""
    client = connect(project, state_dir)
    if not yes:
        free = client.json("GET", path_of(name, "stats"))["messages"]["free"]
        click.confirm(f"Remove {count(free, 'message')} of {name}?", abort=True)
    client.json("POST", path_of(name, "purge"), {"resource_types": ["messages"]})
    click.echo(f"{name} holds no message any more that nobody has claimed.")


@click.command()
@click.argument("name")
@of_project
def redrive(name: str, project: str | None, state_dir: Path | None) -> None:
    """Send the dead letters in topic NAME back to the topics they came from."""
    done = connect(project, state_dir).json("POST", path_of(name, "redrive"))
    click.echo(f"{count(done['redriven'], 'message')} went back.")


@click.command()
@click.argument("name")
@of_project
def where(name: str, project: str | None, state_dir: Path | None) -> None:
    """Say on which pool topic NAME lies."""
    client = connect(project, state_dir)
    click.echo(client.json("GET", path_of(name, "placement"))["pool"])


@click.command()
@click.argument("name")
@click.argument("pool")
@of_project
def move(name: str, pool: str, project: str | None, state_dir: Path | None) -> None:
    """Move topic NAME with all that is in it to POOL, while clients go on.

    `main` is the main database. Topics that share dead letters move together.
    """
    client = connect(project, state_dir)
    moved = client.json("PUT", path_of(name, "placement"), {"pool": pool})
    if not moved["topics"]:
        click.echo(f"{name} lies on pool {pool} already.")
        return
    parts = (
        count(moved["messages"], "message"),
        count(moved["subscriptions"], "subscription"),
        count(moved["deliveries"], "delivery", "deliveries"),
    )
    click.echo(f"Moved {', '.join(moved['topics'])} to pool {pool}: {', '.join(parts)}.")


COMMANDS = (list_, stats, purge, redrive, where, move)
