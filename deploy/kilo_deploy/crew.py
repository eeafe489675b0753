"""Several processes of a role that listens on no port: started, started again when they die, and
stopped together. They share nothing but the bus and the databases."""

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from kilo_deploy.config import StackSettings
from kilo_deploy.processes import StopSignal

log = logging.getLogger(__name__)
CREW_VARIABLE = "KILOSTACK_CREW"
"""Set in a crew's processes: the end of their standard input is the end of the crew."""
STEADY = 30.0
"""Seconds after which a process counts as one that works: its next death is not held against it."""
LONGEST_PAUSE = 30.0


class Crew:
    """A number of processes of one command."""

    def __init__(self, command: Sequence[str], number: int, say: Callable[[str], None]) -> None:
        """`say` tells a person which processes there are."""
        self._command = command
        self._number = number
        self._say = say
        self._lock = threading.Lock()
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._stopping = threading.Event()
        self._keepers: list[threading.Thread] = []

    def start(self) -> None:
        """Start all of them; whichever ends by itself is started again, after a pause that grows
        while it does so again and again."""
        for place in range(self._number):
            keeper = threading.Thread(target=self._keep, args=(place,), daemon=True)
            self._keepers.append(keeper)
            keeper.start()

    def stop(self, timeout: float) -> None:
        """Ask all to stop, and kill those that have not after so many seconds."""
        self._stopping.set()
        with self._lock:
            running = list(self._running.values())
        for process in running:
            process.terminate()
        deadline = time.monotonic() + timeout
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("process %d does not stop and is killed", process.pid)
                process.kill()
        for keeper in self._keepers:
            keeper.join(5.0)

    def _keep(self, place: int) -> None:
        pause = 0.5
        while not self._stopping.is_set():
            began = time.monotonic()
            code = self._run_once(place)
            if self._stopping.is_set():
                return
            if time.monotonic() - began > STEADY:
                pause = 0.5
            self._say(f"process {place} ended with {code}; it is started again in {pause:.1f} s")
            self._stopping.wait(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    def _run_once(self, place: int) -> int:
        environ = dict(os.environ) | {CREW_VARIABLE: "1"}
        # Nobody writes to the pipe: it ends when this process does, whatever ends it.
        with subprocess.Popen(  # noqa: S603 - our own command
            self._command, stdin=subprocess.PIPE, env=environ
        ) as process:
            with self._lock:
                self._running[place] = process
            if self._stopping.is_set():
                process.terminate()
            self._say(f"process {place} is {process.pid}")
            return process.wait()


def run(
    role: str,
    settings: StackSettings,
    file: Path | None,
    state_dir: Path | None,
    number: int,
    say: Callable[[str], None],
) -> None:
    """Keep so many processes of `role` at work until this one is asked to stop."""
    stop = StopSignal()
    command = [sys.executable, "-m", "kilo_deploy.entry", "serve", role]
    command += ["--config", str(file)] if file else []
    command += ["--state-dir", str(state_dir)] if state_dir else []
    crew = Crew(command, number, lambda text: say(f"{role}: {text}"))
    crew.start()
    stop.wait()
    crew.stop(settings.shutdown_timeout + 1)
