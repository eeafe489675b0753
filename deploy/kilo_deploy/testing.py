"""Runs a stack as a process of its own, for tests against real services."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from kilo_common.errors import Failure
from kilo_deploy.state import StackInfo, read_info

READY_TIMEOUT = 60.0
FREE_PORTS = {
    "KILO_CATALOG__HTTP__PORT": "0",
    "KILO_MESSAGING__HTTP__PORT": "0",
    "KILO_MESSAGING__WEBSOCKET_PORT": "0",
    "KILO_AUTH__DEV__HTTP__PORT": "0",
    "KILO_DASHBOARD__HTTP__PORT": "0",
}


class ProcessFailed(Failure):
    """The process ended, or was not ready in time; the message has what it printed."""

    code = "deploy.process_failed"


class KilostackProcess:
    """A `kilostack` command that runs until it is stopped."""

    def __init__(
        self,
        arguments: Sequence[str],
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Start `kilostack ARGUMENTS` with `environ` added to the environment."""
        self.output: list[str] = []
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "kilo_deploy.entry", *arguments],
            env={**os.environ, "COLUMNS": "200", **(environ or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def wait_for(self, text: str, timeout: float = READY_TIMEOUT) -> str:
        """The first line of the output that has `text` in it.

        Raises:
            ProcessFailed: the process ended without it, or the time is up.
        """
        while True:
            try:
                line = self._lines.get(timeout=timeout)
            except queue.Empty:
                line = None
            if line is None:
                self.kill()
                raise ProcessFailed(f"{text!r} was not printed; this was:\n" + "".join(self.output))
            if text in line:
                return line

    def interrupt(self, timeout: float = 30.0) -> int:
        """Press Ctrl-C and return the exit code."""
        self._process.send_signal(signal.SIGINT)
        return self.wait(timeout)

    def wait(self, timeout: float = 30.0) -> int:
        """The exit code, once the process has ended."""
        code = self._process.wait(timeout)
        self._reader.join(timeout)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code

    def kill(self) -> None:
        """End the process as a power cut would (SIGKILL). Harmless when it has ended."""
        self._process.kill()
        self.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output.append(line)
            self._lines.put(line)
        self._lines.put(None)


class StackProcess(KilostackProcess):
    """`kilostack up` on a state folder, on free ports."""

    def __init__(
        self,
        state_dir: Path,
        arguments: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            ["up", "--state-dir", str(state_dir), *arguments], {**FREE_PORTS, **(environ or {})}
        )
        self.state_dir = state_dir

    def wait_ready(self) -> StackInfo:
        """Where the stack is, once it serves.

        Raises:
            ProcessFailed: it does not start.
        """
        self.wait_for("Ctrl-C stops it")
        return read_info(self.state_dir)
