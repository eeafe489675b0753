"""Reaches a catalog from the command line: the running stack's, or the one at a URL."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from kilo_deploy.accounts import sign_in
from kilo_deploy.client import ApiClient
from kilo_deploy.commands import options
from kilo_deploy.config import default_state_dir
from kilo_deploy.state import find_running

DEFAULT_URL = "http://127.0.0.1:9292"
F = TypeVar("F", bound=Callable[..., Any])


def catalog_options(command: F) -> F:
    """The options by which a command finds its catalog: `url`, `project`, `state_dir`."""
    command = options.state_dir(command)
    command = click.option(
        "--project", help="The project to work in; default: the stack's, as its administrator."
    )(command)
    return click.option(
        "--url", help="The catalog (http://host:port), with OS_TOKEN; default: the running stack's."
    )(command)


def open_catalog(url: str | None, project: str | None, state_dir: Path | None) -> ApiClient:
    """A client of the catalog, signed in.

    Raises:
        SignInImpossible, RequestRefused, StackUnreachable: see `sign_in`.
    """
    running = find_running(state_dir or default_state_dir(os.environ))
    if running is not None and url in (None, running.catalog_url):
        headers = sign_in(running, project or running.project, os.environ)
        return ApiClient(running.catalog_url, headers)
    token = os.environ.get("OS_TOKEN")
    headers = {"X-Auth-Token": token} if token else {"X-Project-Id": project or "demo"}
    return ApiClient(url or DEFAULT_URL, headers)
