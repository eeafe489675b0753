"""`kilostack topics`: look at topics from a terminal."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from kilo_deploy.accounts import sign_in
from kilo_deploy.commands import options, topic_care
from kilo_deploy.config import default_state_dir
from kilo_deploy.state import find_running
from kilo_messaging.client import MessagingClient

DEFAULT_URL = "ws://127.0.0.1:8888"


@click.group()
def topics() -> None:
    """Look at topics, and after them."""


for _command in topic_care.COMMANDS:
    topics.add_command(_command)


@topics.command()
@click.argument("name")
@click.option("--url", help="The messaging service (ws://host:port); default: the running stack's.")
@click.option("--project", help="The project whose topic it is; default: the stack's.")
@click.option("--json", "as_json", is_flag=True, help="Print each message as one JSON line.")
@click.option(
    "--from",
    "start",
    default="end",
    show_default=True,
    metavar="end|start|CURSOR",
    help="Begin with what comes, with all that is kept, or behind a cursor.",
)
@click.option("--cursors", is_flag=True, help="Print the cursor behind each message before it.")
@options.state_dir
def watch(
    name: str,
    url: str | None,
    project: str | None,
    as_json: bool,
    start: str,
    cursors: bool,
    state_dir: Path | None,
) -> None:
    """Follow topic NAME live, until Ctrl-C; over restarts of the service without a gap."""
    running = find_running(state_dir or default_state_dir(os.environ))
    url = url or (running.websocket_url if running else DEFAULT_URL)
    project = project or (running.project if running else "demo")
    console = Console(highlight=not as_json, soft_wrap=True)

    def headers() -> Mapping[str, str]:
        return sign_in(running, project, os.environ) if running else {}

    def say_where() -> None:
        if not as_json:
            where = f"of project {project} at {url}; Ctrl-C ends it."
            console.print(f"Watching [bold]{name}[/] {where}")

    with MessagingClient(url, project=project, headers=headers) as client:
        try:
            for message in client.follow(name, start, begun=say_where):
                text = json.dumps(message.body) if as_json else describe(message.body)
                console.print(f"{message.cursor} {text}" if cursors else text, markup=False)
        except KeyboardInterrupt:
            return


def describe(message: Any) -> str:
    """One line for a message; an event of the catalog is told by its type and its image."""
    if isinstance(message, dict) and "event_type" in message:
        payload = message.get("payload")
        payload = payload if isinstance(payload, dict) else {}
        facts = (
            f"{key}={payload[key]}" for key in ("id", "name", "status", "size") if payload.get(key)
        )
        return f"{message.get('timestamp', '')[11:23]} {message['event_type']} " + " ".join(facts)
    return json.dumps(message)
