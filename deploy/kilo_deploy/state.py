"""The run-time files in the state folder: the lock one stack holds, and where to find it."""

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from kilo_common.errors import ConfigInvalid

_LOCK = "stack.lock"
_INFO = "stack.json"


@dataclass(frozen=True)
class StackInfo:
    """A running stack, as other commands find it."""

    pid: int
    catalog_url: str
    messaging_url: str
    websocket_url: str
    project: str


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
        (self._folder / _INFO).write_text(json.dumps(asdict(info), indent=2) + "\n")


def find_running(folder: Path) -> StackInfo | None:
    """The stack that runs on `folder`, or None."""
    try:
        info = StackInfo(**json.loads((folder / _INFO).read_text()))
        os.kill(info.pid, 0)
    except (OSError, ValueError, TypeError):
        return None
    return info
