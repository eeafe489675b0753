"""When a publish that failed is tried again."""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from kilo_common.bus.errors import BusUnavailable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetryPolicy:
    """How often, and after which pauses. The driver's own attempts within one time-out come first:
    this is for a broker that is away for longer."""

    attempts: int | None = 1
    """In all, the first included; None: until it works or the deadline is there."""
    first_pause: float = 0.5
    greatest_pause: float = 30.0
    sleep: Callable[[float], None] = time.sleep

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row, with jitter, so that not every client
        of a broker comes back in the same instant."""
        most = min(self.greatest_pause, self.first_pause * 2.0 ** min(failures - 1, 32))
        return most * random.uniform(0.5, 1.0)  # noqa: S311 - no secret

    def run(
        self,
        publish: Callable[[], None],
        *,
        deadline: float | None = None,
        repeatable: bool = False,
    ) -> None:
        """Call `publish` until it works.

        One that may have been published all the same is only tried again if it is `repeatable`: a
        call must not run twice. No attempt begins after `deadline`, in monotonic seconds.

        Raises:
            BusUnavailable: of the last attempt.
        """
        failures = 0
        while True:
            try:
                return publish()
            except BusUnavailable as fault:
                failures += 1
                if self.attempts is not None and failures >= self.attempts:
                    raise
                if fault.may_have_been_published and not repeatable:
                    raise
                pause = self.pause(failures)
                if deadline is not None and time.monotonic() + pause >= deadline:
                    raise
                log.warning("publishing failed (%s); again in %.1f s", fault, pause)
            self.sleep(pause)


ONCE = RetryPolicy()
"""No attempt beyond the driver's own."""
