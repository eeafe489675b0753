"""The run-time files in the state folder: the lock one stack holds, and where to find it."""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from kilo_common.errors import ConfigInvalid

_LOCK = "stack.lock"
_INFO = "stack.json"


@dataclass(frozen=True)
class Account:
    """A way into the stack: a user in a project."""

    cloud: str
    """Its name in `clouds.yaml`."""
    username: str
    password: str
    """Empty where only its hash is known."""
    project: str


@dataclass(frozen=True)
class StackInfo:
    """A running stack, as other commands find it."""

    pid: int
    catalog_url: str
    messaging_url: str
    websocket_url: str
    project: str
    strategy: str = "none"
    """How callers are identified: `auth.strategy`."""
    identity_url: str = ""
    """The identity service, built in or elsewhere; empty without one."""
    dashboard_url: str = ""
    """The page for a browser; empty without one."""
    accounts: tuple[Account, ...] = ()
    """Who can sign in, where the strategy knows; the first is the one to take."""


class StateLock:
    """Held while a stack runs on a state folder; two of them would spoil each other's data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            ConfigInvalid: a stack runs on this folder.
        """
        file = (self._folder / _LOCK).open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise ConfigInvalid(
                f"A stack (process {holder}) already runs on {self._folder}: stop it, or give "
                "this one a folder of its own with --state-dir (and --port-offset).",
                key="state_dir",
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def release(self) -> None:
        """Give the lock back."""
        (self._folder / _INFO).unlink(missing_ok=True)
        if self._file is not None:
            self._file.close()
            self._file = None

    def announce(self, info: StackInfo) -> None:
        """Tell other commands where this stack is."""
        file = self._folder / _INFO
        file.unlink(missing_ok=True)
        file.touch(mode=0o600)  # it may hold passwords
        file.write_bytes(msgspec.json.format(msgspec.json.encode(info)) + b"\n")


def find_running(folder: Path) -> StackInfo | None:
    """The stack that runs on `folder`, or None."""
    try:
        info = read_info(folder)
        os.kill(info.pid, 0)
    except (OSError, ValueError):
        return None
    return info


def read_info(folder: Path) -> StackInfo:
    """What the last stack on `folder` announced.

    Raises:
        OSError, ValueError: nothing, or nothing that can be read.
    """
    return msgspec.json.decode((folder / _INFO).read_bytes(), type=StackInfo)
