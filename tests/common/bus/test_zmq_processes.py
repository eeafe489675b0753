"""zmq:// between real processes: restarts, kills, late comers, silence, each matchmaker."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from urllib.parse import quote

import pytest

from contracts.transport import Inbox
from kilo_common.bus.connect import open_transport
from kilo_common.bus.errors import BusUnavailable, NoRoute
from kilo_common.bus.rpc_client import RpcClient
from kilo_common.bus.target import Target
from kilo_common.bus.transport import Transport
from kilo_common.bus.zmq_transport.sockets import is_green
from kilo_common.context import RequestContext
from kilo_common.ids import random_id

SCRIPT = Path(__file__).parents[2] / "support" / "zmq_node.py"
PATIENCE = 20.0
PATCHED = ["-m", "gevent.monkey"] if is_green() else []
"""The other processes run as this one does: on threads or on gevent."""
CONTEXT = RequestContext(project_id="p1")


class Node:
    """A process on the bus, and the lines it says."""

    def __init__(self, url: str, role: str, topic: str, count: int = 0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *PATCHED, str(SCRIPT), url, role, topic, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path))),
        )
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.strip())

    def expect(self, *lines: str) -> None:
        """The next lines it says, in any order."""
        assert sorted(self._lines.get(timeout=PATIENCE) for _line in lines) == sorted(lines)

    def is_silent(self) -> bool:
        try:
            self._lines.get(timeout=0.3)
        except Empty:
            return True
        return False

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def kill(self, number: int = signal.SIGKILL) -> None:
        self._process.send_signal(number)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


Spawn = Callable[..., Node]


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.services)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "redis":
        book, kind = request.getfixturevalue("redis_url"), "redis"
    else:
        book, kind = f"sqlite:///{tmp_path}/bus.db", "sql"
    return f"zmq://127.0.0.1/?matchmaker={kind}&matchmaker_url={quote(book)}&heartbeat=0.5&lease=3"


@pytest.fixture
def topic() -> str:
    return f"topic-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def spawn(topic: str) -> Iterator[Spawn]:
    nodes: list[Node] = []

    def start(url: str, role: str, count: int = 0) -> Node:
        node = Node(url, role, topic, count)
        nodes.append(node)
        return node

    yield start
    for node in nodes:
        node.close()


@pytest.fixture
def transport(url: str) -> Iterator[Transport]:
    transport = open_transport(url)
    transport.start()
    yield transport
    transport.stop(5)


@pytest.fixture
def client(transport: Transport, topic: str) -> Iterator[RpcClient]:
    client = RpcClient(transport, Target(topic), new_id=random_id, timeout=10)
    yield client
    client.stop(1)


def test_a_call_crosses_processes(url: str, spawn: Spawn, client: RpcClient) -> None:
    spawn(url, "serve").expect("ready")
    assert client.call(CONTEXT, "echo", text="hello") == "hello"


def test_a_call_to_nobody_fails_at_once(client: RpcClient) -> None:
    began = time.monotonic()
    with pytest.raises(NoRoute):
        client.call(CONTEXT, "echo", text="hello")
    assert time.monotonic() - began < 1.0


def test_what_a_killed_consumer_had_in_hand_goes_to_another(
    url: str, spawn: Spawn, transport: Transport, topic: str
) -> None:
    victim = spawn(url, "hold")
    victim.expect("ready")
    for number in range(10):
        transport.publish(Target(topic).topic_address, b"%d" % number)
    victim.expect(*(f"got {number} first" for number in range(5)))
    victim.kill()
    heir = spawn(url, "work")
    heir.expect("ready", *(f"got {number} again" for number in range(10)))
    assert heir.is_silent()


def test_a_killed_server_with_a_backlog_of_500_casts_loses_none(
    url: str, spawn: Spawn, transport: Transport, topic: str
) -> None:
    victim = spawn(url, "hold")
    victim.expect("ready")
    for number in range(500):
        transport.publish(Target(topic).topic_address, b"%d" % number)
    victim.kill()
    inbox = Inbox()
    transport.consume(Target(topic).topic_address, inbox)
    assert sorted(inbox.bodies(500)) == sorted(b"%d" % number for number in range(500))


def test_a_call_whose_server_is_killed_is_answered_by_the_next(
    url: str, spawn: Spawn, client: RpcClient
) -> None:
    spawn(url, "serve").expect("ready")
    assert client.call(CONTEXT, "echo", text="1") == "1"
    victim = spawn(url, "serve")
    victim.expect("ready")
    victim.kill()
    assert [client.call(CONTEXT, "echo", text=str(each)) for each in range(8)] == [
        str(each) for each in range(8)
    ]


def test_a_node_that_says_nothing_any_more_is_taken_for_dead(
    url: str, spawn: Spawn, transport: Transport, topic: str
) -> None:
    frozen = spawn(url, "work")
    frozen.expect("ready")
    transport.publish(Target(topic).topic_address, b"before")
    frozen.expect("got before first")
    frozen.kill(signal.SIGSTOP)
    with pytest.raises((BusUnavailable, NoRoute)):
        transport.publish(Target(topic).topic_address, b"?", mandatory=True, timeout=10)
    transport.publish(Target(topic).topic_address, b"kept")
    spawn(url, "work").expect("ready", "got kept first")


def test_publishing_gives_up_at_its_time_out(
    url: str, spawn: Spawn, transport: Transport, topic: str
) -> None:
    frozen = spawn(url, "work")
    frozen.expect("ready")
    transport.publish(Target(topic).topic_address, b"before")
    frozen.kill(signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(BusUnavailable):
        transport.publish(Target(topic).topic_address, b"?", timeout=0.3)
    assert time.monotonic() - began < 0.8


def test_a_late_comer_gets_what_waited(
    url: str, spawn: Spawn, transport: Transport, topic: str
) -> None:
    for number in range(20):
        transport.publish(Target(topic).topic_address, b"%d" % number)
    late = spawn(url, "work")
    late.expect("ready", *(f"got {number} first" for number in range(20)))


def test_every_listener_hears_a_fanout_from_the_moment_it_is_ready(
    url: str, spawn: Spawn, transport: Transport, topic: str
) -> None:
    fanout = Target(topic).fanout_address
    transport.publish(fanout, b"nobody")
    listeners = []
    for number in range(3):
        listeners.append(spawn(url, "fanout"))
        listeners[-1].expect("ready")
        transport.publish(fanout, b"%d" % number)
        for listener in listeners:
            listener.expect(f"got {number} first")


def test_each_pool_gets_every_message_also_while_it_is_away(
    url: str, spawn: Spawn, transport: Transport, topic: str
) -> None:
    inbox = Inbox()
    transport.consume(Target(topic).topic_address, inbox, group="mine")
    pool = spawn(url, "pool")
    pool.expect("ready")
    transport.publish(Target(topic).topic_address, b"1")
    pool.expect("got 1 first")
    pool.say("stop")
    pool.expect("stopped")
    transport.publish(Target(topic).topic_address, b"2")
    spawn(url, "pool").expect("ready", "got 2 first")
    assert inbox.bodies(2) == [b"1", b"2"]


def test_what_a_killed_sender_had_handed_over_is_served(url: str, spawn: Spawn, topic: str) -> None:
    consumer = spawn(url, "work")
    consumer.expect("ready")
    sender = spawn(url, "publish", 50)
    sender.expect("ready")
    sender.kill()
    consumer.expect(*(f"got {number} first" for number in range(50)))


def test_nodes_find_each_other_by_a_static_list(spawn: Spawn, topic: str, unused_port: int) -> None:
    # Heartbeats as they are by default: the restart is noticed by the answer, not by silence.
    listed = f"matchmaker=static&peers=127.0.0.1:{unused_port}"
    serving = f"zmq://127.0.0.1:{unused_port}/?{listed}"
    transport = open_transport(f"zmq://127.0.0.1/?{listed}")
    transport.start()
    client = RpcClient(transport, Target(topic), new_id=random_id, timeout=10)
    with pytest.raises(NoRoute):
        client.call(CONTEXT, "echo", text="too early")
    server = spawn(serving, "serve")
    server.expect("ready")
    assert client.call(CONTEXT, "echo", text="1") == "1"
    server.kill()
    spawn(serving, "serve").expect("ready")  # at the same port
    assert client.call(CONTEXT, "echo", text="2") == "2"
    client.stop(1)
    transport.stop(5)
