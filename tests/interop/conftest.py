"""The peer as subprocesses, and a corner of a real broker that is swept afterwards."""

import contextlib
import json
import os
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import amqp
import pytest

from brokers import rabbitmq
from kilo_common.bus.connect import open_transport
from kilo_common.bus.transport import Transport

HERE = Path(__file__).parent
PATIENCE = 20.0
OUR_OPTIONS = {"transient": "durable=false", "durable": "", "quorum": "quorum=true"}
PEER_OPTIONS = {
    "transient": (),
    "durable": ("amqp_durable_queues",),
    "quorum": ("rabbit_quorum_queue", "rabbit_transient_quorum_queue"),
}


class Peer:
    """One process of the peer."""

    def __init__(self, python: Path, mode: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [python, "-W", "ignore", HERE / "peer.py", mode, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._said: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self.next() == {"ready": True}

    def next(self) -> dict[str, Any]:
        """What it says next."""
        return self._said.get(timeout=PATIENCE)

    def ask(self, **command: Any) -> dict[str, Any]:
        """What it says to a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self.next()

    def has_more(self) -> bool:
        return not self._said.empty()

    def stop(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate(timeout=PATIENCE)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                self._said.put(json.loads(line))


@dataclass(frozen=True)
class Corner:
    """Names on the broker that nobody else uses."""

    exchange: str
    topic: str


@pytest.fixture
def broker(rabbit_port: int) -> str:
    """A broker, as a URL has it after its scheme."""
    return f"guest:guest@127.0.0.1:{rabbit_port}/"


@pytest.fixture
def corner(rabbit_port: int) -> Iterator[Corner]:
    corner = Corner(f"kilo-interop-{uuid.uuid4().hex[:8]}", f"interop-{uuid.uuid4().hex[:8]}")
    yield corner
    topic = corner.topic
    suffixes = ("", ".ours", ".peer-host", ".info", ".error", ".dead")
    with amqp.Connection(f"127.0.0.1:{rabbit_port}") as connection:
        channel = connection.channel()
        for suffix in suffixes:
            channel.queue_delete(topic + suffix)
        channel.exchange_delete(corner.exchange)


@pytest.fixture
def peer(corner: Corner, durability: str, broker: str) -> Iterator[Callable[[str], Peer]]:
    """Starts the peer in a mode. It lives in TEST_PEER_FOLDER, or in .venv-peer of the checkout."""
    folder = Path(os.environ.get("TEST_PEER_FOLDER", HERE.parent.parent / ".venv-peer"))
    python = folder / "bin" / "python"
    if not python.exists():
        message = f"no peer: pip install -r tests/interop/requirements.txt into {folder}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    started: list[Peer] = []

    def start(mode: str) -> Peer:
        options = "&".join(f"{name}=true" for name in PEER_OPTIONS[durability])
        url = f"rabbit://{broker}?{options}"
        started.append(Peer(python, mode, url, corner.exchange, corner.topic))
        return started[-1]

    yield start
    for each in started:
        each.stop()


# RabbitMQ 4 is told to take no transient queues, which the peer makes unless all are quorum queues.
@pytest.fixture(params=["quorum"] if rabbitmq.FOLDER else ["transient", "durable"])
def durability(request: pytest.FixtureRequest) -> str:
    """What both sides agree on; the peer's client cannot use an exchange made otherwise."""
    return str(request.param)


@pytest.fixture
def transport(durability: str, corner: Corner, broker: str) -> Iterator[Transport]:
    """Ours."""
    transport = open_transport(f"rabbit://{broker}?{OUR_OPTIONS[durability]}")
    transport.start()
    yield transport
    transport.stop(5)
