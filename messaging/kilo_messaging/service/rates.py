"""How much a project may ask for in a second, of each process."""

import math
import threading

from kilo_common.clock import Clock
from kilo_messaging.errors import RateExceeded

REMEMBERED = 10_000


class ProjectRates:
    """Counts requests by project: `rate` a second, and up to `burst` at once after a rest.

    Of each project one number is kept: when it will have rested enough to have asked for nothing
    (the generic cell rate algorithm of ATM networks).
    """

    def __init__(self, rate: float, burst: int, clock: Clock) -> None:
        """A `rate` of 0 is no limit."""
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._rested: dict[str, float] = {}
        self._lock = threading.Lock()

    def take(self, project_id: str) -> None:
        """Count one request.

        Raises:
            RateExceeded: it is one too many; the answer says after how many seconds it will not be.
        """
        if not self._rate:
            return
        with self._lock:
            now = self._clock.monotonic()
            rested = max(now, self._rested.get(project_id, now)) + 1 / self._rate
            wait = rested - now - self._burst / self._rate
            if wait <= 1e-9:
                if project_id not in self._rested and len(self._rested) >= REMEMBERED:
                    self._forget(now)
                self._rested[project_id] = rested
                return
        raise RateExceeded(
            f"Your project may make {self._rate:g} requests a second; try again in {wait:.3g} s",
            headers={"Retry-After": str(math.ceil(wait))},
        )

    def _forget(self, now: float) -> None:
        """Let go of those who have rested."""
        self._rested = {name: rested for name, rested in self._rested.items() if rested > now}
