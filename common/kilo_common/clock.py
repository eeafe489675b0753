"""Time as a collaborator that is handed in, so that tests never wait for it."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where a component gets the time from."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed point; never goes backwards."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class ShiftedClock:
    """Another clock, ahead by as much as somebody has moved it: for tests of what takes long."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = timedelta()

    def now(self) -> datetime:
        return self._clock.now() + self._ahead

    def monotonic(self) -> float:
        return self._clock.monotonic() + self._ahead.total_seconds()

    def advance(self, seconds: float) -> None:
        """Let `seconds` have passed."""
        self._ahead += timedelta(seconds=seconds)


def iso8601(moment: datetime) -> str:
    """`moment` as both APIs write it: UTC, whole seconds, a `Z` (2026-11-23T16:58:00Z)."""
    # isoformat takes a tenth of strftime's time, and lists write many times.
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return utc.isoformat(timespec="seconds")[:19] + "Z"
