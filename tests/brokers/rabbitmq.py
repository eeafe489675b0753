"""A RabbitMQ node of the tests' own: it may be blocked and killed, and may be a newer one.

TEST_RABBITMQ_FOLDER is a folder that `unpack_rabbitmq.sh` made; without it the installed one runs.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

FOLDER = os.environ.get("TEST_RABBITMQ_FOLDER", "")
# Debian's commands on the PATH change to another user and folder; these do not.
SEARCH = os.pathsep.join(
    (f"{FOLDER}/usr/lib/rabbitmq/bin", f"{FOLDER}/usr/lib/erlang/bin", os.environ.get("PATH", ""))
)
SERVER = shutil.which("rabbitmq-server", path=SEARCH)
PATIENCE = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Node:
    """One RabbitMQ node with folders and ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        name = f"kilo{self.port}@localhost"
        (folder / "plugins").write_text("[].\n")
        settings = ["vm_memory_high_watermark.absolute = 800MB"]
        if FOLDER:  # as a later version will be by itself
            settings.append("deprecated_features.permit.transient_nonexcl_queues = false")
        (folder / "rabbitmq.conf").write_text("\n".join([*settings, ""]))
        self._environment = dict(
            os.environ,
            PATH=SEARCH,
            HOME=str(folder),
            RABBITMQ_NODENAME=name,
            RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
            RABBITMQ_NODE_PORT=str(self.port),
            RABBITMQ_DIST_PORT=str(free_port()),
            RABBITMQ_MNESIA_BASE=str(folder / "mnesia"),
            RABBITMQ_LOG_BASE=str(folder / "log"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(folder / "plugins"),
            RABBITMQ_CONF_ENV_FILE=os.devnull,
            RABBITMQ_CONFIG_FILE=str(folder / "rabbitmq.conf"),
            RABBITMQ_SERVER_START_ARGS="+S 2:2",
        )

    @property
    def url(self) -> str:
        return f"rabbit://guest:guest@127.0.0.1:{self.port}/"

    def start(self) -> None:
        assert SERVER is not None
        self._process = subprocess.Popen(
            [SERVER],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + PATIENCE
        while not self.greets():
            assert time.monotonic() < deadline, "the node does not start"
            time.sleep(0.1)

    def kill(self) -> None:
        """As kill -9, and all it started."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def await_registration(self, queue: str) -> None:
        """Return when a new quorum queue stands in the node's directory on disk.

        That is written half a second after the declaration is answered. A node that is killed
        sooner comes back with the queue and nobody to lead it, and confirms nothing that is sent to
        it until somebody calls an election by hand (rabbitmq-server issue 10070).
        """
        deadline = time.monotonic() + PATIENCE
        while not any(queue.encode() in each.read_bytes() for each in self._directories()):
            assert time.monotonic() < deadline, f"{queue} is not registered"
            time.sleep(0.05)

    def _directories(self) -> Iterator[Path]:
        return (self._folder / "mnesia").glob("*/quorum/*/names.dets")

    def block(self) -> None:
        """Raise the memory alarm: publishers are blocked."""
        self._control("set_vm_memory_high_watermark", "absolute", "1MB")

    def unblock(self) -> None:
        self._control("set_vm_memory_high_watermark", "absolute", "800MB")

    def _control(self, *arguments: str) -> None:
        command = shutil.which("rabbitmqctl", path=SEARCH)
        assert command is not None
        command_line = [command, "--node", self._environment["RABBITMQ_NODENAME"], *arguments]
        subprocess.run(
            command_line, env=self._environment, check=True, capture_output=True, timeout=60
        )

    def greets(self) -> bool:
        """Whether it answers a client's first words, which it does a moment after it listens."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                probe.settimeout(1)
                probe.sendall(b"AMQP\x00\x00\x09\x01")
                return probe.recv(1) == b"\x01"
        except OSError:
            return False
