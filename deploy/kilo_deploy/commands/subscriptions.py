"""`kilostack subscriptions`: who is notified of a topic, how it went, and once more, please."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from kilo_deploy.client import TIMEOUT, ApiClient
from kilo_deploy.commands import messaging_api
from kilo_deploy.commands.messaging_api import PAGE, of_project, path_of


class Subscriptions:
    """A topic's subscriptions, as the messaging service shows them."""

    def __init__(self, client: ApiClient, topic: str) -> None:
        self._client = client
        self._path = path_of(topic, "subscriptions")

    def all(self) -> Iterator[Any]:
        """Each of them. Raises what `ApiClient.json` does."""
        marker = ""
        while True:
            query = urlencode({"limit": PAGE, "marker": marker} if marker else {"limit": PAGE})
            page = self._client.json("GET", f"{self._path}?{query}")["subscriptions"]
            yield from page
            if len(page) < PAGE:
                return
            marker = page[-1]["id"]

    def attempts(self, subscription_id: str, limit: int) -> list[Any]:
        """The log, newest first."""
        found: list[Any] = []
        path = f"{self._of(subscription_id)}/attempts?limit={min(limit, PAGE)}"
        while path and len(found) < limit:
            page = self._client.json("GET", path)
            found += page["attempts"]
            path = next((each["href"] for each in page["links"] if page["attempts"]), "")
        return found[:limit]

    def change(self, subscription_id: str, state: str) -> None:
        """Pause or resume one."""
        self._client.json("PATCH", self._of(subscription_id), {"state": state})

    def redeliver(
        self, subscription_id: str, deliveries: tuple[int, ...], since: datetime | None
    ) -> int:
        """Let failed deliveries be tried again; how many those are."""
        wanted: dict[str, Any] = {}
        if deliveries:
            wanted["deliveries"] = list(deliveries)
        if since is not None:
            wanted["since"] = since.isoformat()
        found = self._client.json("POST", f"{self._of(subscription_id)}/redeliver", wanted)
        count: int = found["redelivering"]
        return count

    def _of(self, subscription_id: str) -> str:
        return f"{self._path}/{quote(subscription_id, safe='')}"


def connect(topic: str, project: str | None, state_dir: Path | None) -> Subscriptions:
    """The topic's subscriptions in the stack that runs. Raises as `messaging_api.connect`."""
    return Subscriptions(messaging_api.connect(project, state_dir, TIMEOUT), topic)


_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")


@click.group()
def subscriptions() -> None:
    """See who is notified of a topic, and how it went."""


@subscriptions.command("list")
@click.argument("topic")
@_as_json
@of_project
def list_(topic: str, as_json: bool, project: str | None, state_dir: Path | None) -> None:
    """List the subscriptions of TOPIC."""
    found = list(connect(topic, project, state_dir).all())
    if as_json:
        return _print_json(found)
    table = Table(
        Column("id", no_wrap=True, min_width=36), "subscriber", "state", "failures", "why"
    )
    for each in found:
        table.add_row(
            each["id"],
            escape(each["subscriber"]),
            each["state"],
            str(each["failures"] or ""),
            escape(each["reason"] or ""),
        )
    return _print_table(table)


@subscriptions.command()
@click.argument("topic")
@click.argument("subscription_id", metavar="ID")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, help="At most so many.")
@_as_json
@of_project
def attempts(
    topic: str,
    subscription_id: str,
    limit: int,
    as_json: bool,
    project: str | None,
    state_dir: Path | None,
) -> None:
    """Show the attempts to deliver to subscription ID of TOPIC, the newest first."""
    found = connect(topic, project, state_dir).attempts(subscription_id, limit)
    if as_json:
        return _print_json(found)
    table = Table(
        Column("at", no_wrap=True, min_width=20),
        "delivery",
        "try",
        "result",
        "status",
        "ms",
        "answer",
    )
    for each in found:
        table.add_row(
            each["at"],
            str(each["delivery"]),
            str(each["number"]),
            each["result"],
            str(each["status"] or ""),
            str(each["milliseconds"]),
            escape(each["detail"][:60]),
        )
    return _print_table(table)


@subscriptions.command()
@click.argument("topic")
@click.argument("subscription_id", metavar="ID")
@click.argument("deliveries", type=click.IntRange(1), nargs=-1, metavar="[DELIVERY]…")
@click.option("--since", type=click.DateTime(), help="Those whose message was posted since (UTC).")
@of_project
def redeliver(
    topic: str,
    subscription_id: str,
    deliveries: tuple[int, ...],
    since: datetime | None,
    project: str | None,
    state_dir: Path | None,
) -> None:
    """Try failed deliveries of subscription ID of TOPIC again: those named, or all."""
    count = connect(topic, project, state_dir).redeliver(subscription_id, deliveries, since)
    Console().print(f"{count} deliveries are tried again.")


@subscriptions.command()
@click.argument("topic")
@click.argument("subscription_id", metavar="ID")
@of_project
def pause(topic: str, subscription_id: str, project: str | None, state_dir: Path | None) -> None:
    """Keep what is posted on TOPIC for subscription ID, and deliver nothing."""
    connect(topic, project, state_dir).change(subscription_id, "paused")


@subscriptions.command()
@click.argument("topic")
@click.argument("subscription_id", metavar="ID")
@of_project
def resume(topic: str, subscription_id: str, project: str | None, state_dir: Path | None) -> None:
    """Deliver again to subscription ID of TOPIC, what was kept first."""
    connect(topic, project, state_dir).change(subscription_id, "active")


def _print_json(found: list[Any]) -> None:
    for each in found:
        click.echo(json.dumps(each))


def _print_table(table: Table) -> None:
    Console(highlight=False).print(table if table.row_count else "Nothing.")
