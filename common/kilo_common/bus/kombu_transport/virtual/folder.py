"""kombu's folder transport, with messages that appear whole and in their order."""

import itertools
import time
import uuid
from pathlib import Path
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):  # type: ignore[misc]  # kombu is untyped
    """A message is written aside and then renamed: no reader sees half of it."""

    _numbers = itertools.count()

    def _put(self, queue: str, payload: Any, **_: Any) -> None:
        # Readers take the names in their order; within a process, numbers decide in one instant.
        stamp = f"{time.time_ns():020d}-{next(self._numbers):09d}"
        folder = Path(self.data_folder_out)
        aside = folder / f"new_{uuid.uuid4().hex}"
        aside.write_text(dumps(payload))
        aside.replace(folder / f"{stamp}_{uuid.uuid4().hex}.{queue}.msg")


class Transport(filesystem.Transport):  # type: ignore[misc]  # kombu is untyped
    """What `filesystem://` uses."""

    Channel = Channel
