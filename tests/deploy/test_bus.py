"""`kilostack bus` at a terminal: the document, calls, notifications, and what is said without a
broker."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from kilo_common.bus.connect import open_transport
from kilo_common.bus.dispatcher import Endpoint, rpc
from kilo_common.bus.rpc_server import RpcServer
from kilo_common.bus.target import Target
from kilo_common.context import RequestContext
from kilo_common.ids import random_id
from kilo_deploy.cli import main

PROGRAM = "import sys; sys.argv[0] = 'kilostack'; from kilo_deploy.entry import main; main()"


def kilostack(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["bus", *arguments])


def test_the_document_names_every_event_of_the_catalog() -> None:
    described = yaml.safe_load(kilostack("doc").output)
    assert described["asyncapi"] == "3.0.0"
    assert "image.activate" in described["channels"]["notifications.info"]["messages"]
    assert "messaging.push_fanout" in described["channels"]
    assert json.loads(kilostack("doc", "--format", "json").output) == described


@pytest.mark.parametrize(
    "command", [["watch"], ["call", "topic", "method"], ["notify", "image.test"]]
)
def test_a_bus_inside_one_process_is_said_to_be_out_of_reach(command: list[str]) -> None:
    done = kilostack(*command, "--url", "memory://")
    assert done.exit_code == 2
    assert "memory:// is a bus inside one process" in done.output


class Calculator(Endpoint):
    @rpc
    def add(self, context: RequestContext, a: int, b: int) -> dict[str, Any]:
        return {"sum": a + b, "for": context.project_id}


@pytest.fixture
def topic(rabbit_url: str) -> Iterator[str]:
    """A topic with a server, on a real broker."""
    topic = f"terminal-{random_id()}"
    transport = open_transport(rabbit_url)
    transport.start()
    server = RpcServer(transport, Target(topic, server="one"), [Calculator()], new_id=random_id)
    server.start()
    yield topic
    server.stop(5)
    transport.stop(5)


@pytest.mark.services
def test_a_call_prints_the_result_as_json(rabbit_url: str, topic: str) -> None:
    done = kilostack("call", topic, "add", "a=2", "b=3", "--project", "p1", "--url", rabbit_url)
    assert json.loads(done.output) == {"sum": 5, "for": "p1"}


@pytest.mark.services
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a=two", "b=3"], "add: a: Expected `int`, got `str`"),
        (["a"], "'a' is not NAME=VALUE"),
        (["a=1"], "missing: b"),
    ],
)
def test_a_wrong_argument_is_explained(
    rabbit_url: str, topic: str, arguments: list[str], said: str
) -> None:
    done = kilostack("call", topic, "add", *arguments, "--url", rabbit_url)
    assert done.exit_code == 2
    assert said in done.output


@pytest.mark.services
def test_a_call_to_nobody_is_explained(rabbit_url: str) -> None:
    done = kilostack("call", f"nobody-{random_id()}", "add", "--url", rabbit_url)
    assert done.exit_code == 2
    assert "Nobody listens" in done.output


@pytest.mark.services
def test_a_watcher_sees_what_is_announced(rabbit_url: str, tmp_path: Path) -> None:
    where = ["--url", rabbit_url, "--topic", f"terminal-{random_id()}"]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "bus", "watch", "--count", "2", *where],
        stdout=subprocess.PIPE,
        text=True,
    ) as watcher:
        assert watcher.stdout is not None
        assert watcher.stdout.readline().startswith("Watching")
        sent = kilostack("notify", "image.test", "id=i1", 'tags=["a"]', *where)
        assert sent.exit_code == 0, sent.output
        kilostack("notify", "image.bad", "--priority", "error", *where)
        first, second = watcher.stdout.readlines()
        assert watcher.wait(20) == 0
    assert "INFO image.test id=i1 project=demo (kilostack.terminal)" in first
    assert "ERROR image.bad" in second
