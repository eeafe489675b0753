"""What threads wait for on a link: the answer to a method, the fate of a publish.

Each is settled once, by the link's reader or its end. They stand on a bare lock, the cheapest thing
that one thread can wait for and another release, under gevent as well.
"""

import threading
import time
from enum import Enum
from typing import Any

from amqp.exceptions import RecoverableConnectionError


class LinkLost(RecoverableConnectionError):  # type: ignore[misc]  # py-amqp is untyped
    """The connection to the broker ended while something was under way on it."""


class TooLate(TimeoutError):
    """The broker has not answered by the deadline."""


class Settled:
    """Something that happens once, and that one thread waits for."""

    __slots__ = ("_gate",)

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._gate.acquire()

    def wait(self, timeout: float) -> bool:
        """Whether it has happened within `timeout` seconds."""
        return self._gate.acquire(timeout=max(0.0, timeout))

    def _open(self) -> None:
        self._gate.release()


class Answer(Settled):
    """The broker's answer to one method."""

    __slots__ = ("_fault", "_values", "done")

    def __init__(self) -> None:
        super().__init__()
        self.done = False
        self._values: tuple[Any, ...] = ()
        self._fault: Exception | None = None

    def __call__(self, _signature: Any, *values: Any) -> None:
        """The answer has come; py-amqp calls this."""
        if not self.done:
            self._values, self.done = values, True
            self._open()

    def fail(self, fault: Exception) -> None:
        """There will be no answer."""
        if not self.done:
            self._fault, self.done = fault, True
            self._open()

    def result(self) -> tuple[Any, ...]:
        """The values of the answer. Raises what prevented it."""
        if self._fault is not None:
            raise self._fault
        return self._values


class Fate(Enum):
    """What became of a publish."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    RETURNED = "returned"
    """The broker found no queue for it."""
    REFUSED = "refused"
    """The broker could not store it."""
    LOST = "lost"
    """The channel or the connection ended first: it may have been published."""


class Publish(Settled):
    """One message on its way to the broker."""

    __slots__ = ("fate", "frames", "mandatory", "message_id", "unroutable", "written")

    def __init__(self, frames: bytes, message_id: str, mandatory: bool) -> None:
        super().__init__()
        self.frames = frames
        self.message_id = message_id
        self.mandatory = mandatory
        self.written = False
        self.unroutable = False
        self.fate = Fate.PENDING

    def settle(self, fate: Fate) -> None:
        """Say what became of it; only the first word counts."""
        if self.fate is Fate.PENDING:
            returned = fate is Fate.CONFIRMED and self.unroutable
            self.fate = Fate.RETURNED if returned else fate
            self._open()


def left(deadline: float) -> float:
    """Seconds until `deadline`, never less than none."""
    return max(0.0, deadline - time.monotonic())
