"""What commands that talk to the messaging service of a running stack share."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import click

from kilo_deploy.accounts import sign_in
from kilo_deploy.client import ApiClient
from kilo_deploy.commands import options
from kilo_deploy.config import default_state_dir
from kilo_deploy.state import find_running
from kilo_deploy.watch import StackUnreachable

PAGE = 20
TIMEOUT = 3600.0
"""Seconds that one request may take: a topic with very much in it moves for a while."""
Command = TypeVar("Command", bound=Callable[..., Any])


def of_project(command: Command) -> Command:
    """The options `--project` and `--state-dir`."""
    command = options.state_dir(command)
    return click.option("--project", help="Whose topics these are; default: the stack's.")(command)


def connect(project: str | None, state_dir: Path | None, timeout: float = TIMEOUT) -> ApiClient:
    """A client of the messaging service of the stack that runs.

    Raises:
        StackUnreachable: none runs.
        SignInImpossible: nobody is known in the project.
    """
    running = find_running(state_dir or default_state_dir(os.environ))
    if running is None:
        raise StackUnreachable("No stack runs here. Start it with: kilostack up")
    project = project or running.project
    headers = sign_in(running, project, os.environ) | {
        "Client-ID": str(uuid.uuid4()),
        "X-Project-Id": project,
    }
    return ApiClient(running.messaging_url, headers, timeout=timeout)


def every(client: ApiClient, called: str, **query: Any) -> Iterator[Any]:
    """All of a list of things with names, page by page. Raises what `ApiClient.json` does."""
    marker = ""
    while True:
        more = {"limit": PAGE, **query} | ({"marker": marker} if marker else {})
        page = client.json("GET", f"/v2/{called}?{urlencode(more)}")[called]
        yield from page
        if len(page) < PAGE:
            return
        marker = page[-1]["name"]


def path_of(topic: str, part: str = "") -> str:
    """The path of a topic, or of something under it."""
    path = f"/v2/topics/{quote(topic, safe='')}"
    return f"{path}/{part}" if part else path


def count(number: int, one: str, several: str = "") -> str:
    """A number with its word."""
    return f"{number} {one if number == 1 else several or f'{one}s'}"
