"""At most so many messages a second, out of a process or into its work."""

import threading
import time
from collections.abc import Callable

from kilo_common.bus.errors import RateLimited
from kilo_common.bus.middleware.base import Incoming, Middleware, Outgoing
from kilo_common.clock import Clock, SystemClock


class TokenBucket:
    """`rate` tokens a second, of which at most `burst` are saved up."""

    def __init__(self, rate: float, burst: int, clock: Clock) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = float(burst)
        self._filled = clock.monotonic()

    def take(self, patience: float) -> float | None:
        """Take a token, one of the future if need be: the seconds until it is there. None, and
        none taken, if that is more than `patience`."""
        with self._lock:
            now = self._clock.monotonic()
            self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
            self._filled = now
            wait = max(0.0, (1 - self._tokens) / self._rate)
            if wait > patience:
                return None
            self._tokens -= 1
            return wait


class RateLimit(Middleware):
    """Holds up what exceeds a rate. Work that is held up stays unacknowledged, so the broker keeps
    the rest; a publish that would have to wait longer than `patience` raises RateLimited."""

    def __init__(
        self,
        *,
        publish: float | None = None,
        handle: float | None = None,
        burst: int = 1,
        patience: float = 30.0,
        clock: Clock | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`publish` and `handle` are messages a second; None: no limit."""
        clock = clock or SystemClock()
        self._publish = None if publish is None else TokenBucket(publish, burst, clock)
        self._handle = None if handle is None else TokenBucket(handle, burst, clock)
        self._patience = patience
        self._sleep = sleep

    def before_publish(self, outgoing: Outgoing) -> None:
        """
        Raises:
            RateLimited: more than `patience` would have to be waited.
        """
        if self._publish is not None:
            wait = self._publish.take(self._patience)
            if wait is None:
                raise RateLimited(
                    f"{outgoing.name} is not sent: its turn would be in more than "
                    f"{self._patience:g} s",
                    name=outgoing.name,
                )
            self._sleep(wait)

    def before_handle(self, incoming: Incoming) -> None:
        del incoming
        if self._handle is not None:
            wait = self._handle.take(float("inf"))
            assert wait is not None
            self._sleep(wait)
