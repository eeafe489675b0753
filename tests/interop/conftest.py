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

from kilo_common.bus.connect import open_transport
from kilo_common.bus.transport import Transport

HERE = Path(__file__).parent
PATIENCE = 20.0
BROKER = "guest:guest@127.0.0.1:5672/"


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
def corner(rabbit_url: str) -> Iterator[Corner]:
    corner = Corner(f"kilo-interop-{uuid.uuid4().hex[:8]}", f"interop-{uuid.uuid4().hex[:8]}")
    yield corner
    topic = corner.topic
    suffixes = ("", ".ours", ".peer-host", ".info", ".error", ".dead")
    with amqp.Connection("127.0.0.1:5672") as connection:
        channel = connection.channel()
        for suffix in suffixes:
            channel.queue_delete(topic + suffix)
        channel.exchange_delete(corner.exchange)


@pytest.fixture
def peer(corner: Corner, durability: str) -> Iterator[Callable[[str], Peer]]:
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
        durable = str(durability == "durable").lower()
        url = f"rabbit://{BROKER}?amqp_durable_queues={durable}"
        started.append(Peer(python, mode, url, corner.exchange, corner.topic))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture(params=["transient", "durable"])
def durability(request: pytest.FixtureRequest) -> str:
    """What both sides agree on; the peer's client cannot use an exchange made otherwise."""
    return str(request.param)


@pytest.fixture
def transport(durability: str, corner: Corner) -> Iterator[Transport]:
    """Ours."""
    durable = "true" if durability == "durable" else "false"
    transport = open_transport(f"rabbit://{BROKER}?durable={durable}")
    transport.start()
    yield transport
    transport.stop(5)
