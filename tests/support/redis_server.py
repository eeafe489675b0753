"""Redis servers of the tests' own: one that keeps what it acknowledges, or a cluster of three."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis

SERVER = shutil.which("redis-server")
PATIENCE = 20.0
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


class RedisServer:
    """One process with a folder and a port of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        # A node of a cluster has a second port, 10,000 above.
        self.port = _free_port(55_000)
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=5)

    def start(self) -> None:
        assert SERVER is not None
        self._process = subprocess.Popen(
            [
                *(SERVER, "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--dir", str(self._folder), "--save", "", *self._options),
            ],
            stdout=subprocess.DEVNULL,
        )
        _wait_until(self._answers)

    def kill(self) -> None:
        """End it as a crash would."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(PATIENCE)

    def _answers(self) -> bool:
        with self.client as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False


@contextmanager
def running(folder: Path, *options: str) -> Iterator[RedisServer]:
    """A server, stopped at the end."""
    server = RedisServer(folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def running_cluster(folder: Path) -> Iterator[list[RedisServer]]:
    """Three primaries that share the slots."""
    options = (*DURABLE, "--cluster-enabled", "yes")
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(running(folder / str(number), *options)) for number in range(3)
        ]
        first = nodes[0].client
        for number, node in enumerate(nodes):
            client = node.client
            client.execute_command("CLUSTER MEET", "127.0.0.1", nodes[0].port)
            start, end = 16384 * number // 3, 16384 * (number + 1) // 3 - 1
            client.execute_command("CLUSTER ADDSLOTSRANGE", start, end)
            client.close()
        _wait_until(lambda: all(_is_whole(node) for node in nodes))
        first.close()
        yield nodes


def _is_whole(node: RedisServer) -> bool:
    with node.client as client:
        state = str(client.execute_command("CLUSTER INFO"))
        return "'cluster_state': 'ok'" in state and "'cluster_known_nodes': '3'" in state


def _wait_until(happened) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, "Redis did not start"
        time.sleep(0.02)


def _free_port(below: int) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < below:
            return port
