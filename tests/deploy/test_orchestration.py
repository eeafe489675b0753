"""The example of a wait condition, with the client library that Heat uses, against a stack."""

import os
import subprocess
from pathlib import Path

import pytest

from kilo_deploy.accounts import sign_in
from kilo_deploy.client import ApiClient
from kilo_deploy.state import StackInfo
from support.clients import Clients

pytestmark = pytest.mark.clients

EXAMPLE = Path(__file__).parents[2] / "deploy" / "examples" / "orchestration" / "wait_condition.py"


def run(clients: Clients, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(clients.clouds.parent),
        "OS_CLIENT_CONFIG_FILE": str(clients.clouds),
        "OS_CLOUD": "kilostack",
    }
    command = [str(clients.folder / "bin" / "python"), str(EXAMPLE), *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)


def copies(kilostack: StackInfo, count: int) -> set[str]:
    """Who signalled, by what was passed on to the topic of the stack's events."""
    headers = sign_in(kilostack, kilostack.project, {}) | {"Client-ID": "0" * 32}
    client = ApiClient(kilostack.messaging_url, headers)
    found: set[str] = set()
    for _ in range(count):
        claimed = client.json("POST", "/v2/topics/stack.events/claims?limit=1&wait=20")
        found |= {message["body"]["id"] for message in claimed["messages"]}
    return found


def test_servers_without_an_account_signal_that_they_are_ready(
    clients: Clients, kilostack: StackInfo
) -> None:
    done = run(clients, "--servers", "2", "--keep")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "server-0 is at 192.0.2.1",
        "server-1 is at 192.0.2.1",
        "The stack is complete.",
    ]
    assert copies(kilostack, 2) == {"server-0", "server-1"}


def test_a_server_that_fails_makes_the_stack_fail(clients: Clients) -> None:
    done = run(clients, "--servers", "2", "--broken")
    assert done.returncode == 1
    assert done.stderr.strip() == "The stack fails: server-1: a package is missing"
