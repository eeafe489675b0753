"""When a delivery that failed is tried again. Pure: no clock, no chance but what is handed in.

The phases and the keys are those of the Messaging API's `_retry_policy`: some retries at once, some
after the shortest delay, then growing delays up to the longest, then some after the longest.
"""

from collections.abc import Callable
from typing import Annotated, Literal

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=0, le=1000)]
Seconds = Annotated[int, Meta(ge=1, le=86400)]
JITTER = 0.2
"""The part of a delay by which it is shortened or lengthened at random, so that what failed
together does not come back together."""


class RetryPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often and when; delays in seconds."""

    retries_with_no_delay: Count = 1
    minimum_delay_retries: Count = 3
    minimum_delay: Seconds = 5
    maximum_delay: Seconds = 600
    maximum_delay_retries: Count = 5
    retry_backoff_function: Literal["linear", "arithmetic", "geometric", "exponential"] = (
        "exponential"
    )
    ignore_subscription_override: bool = False
    """In a topic's policy: its subscriptions' own policies do not count."""

    def delays(self) -> tuple[float, ...]:
        """The delay before each retry, in order, without jitter; after the last there is none."""
        return (
            *(0.0 for _each in range(self.retries_with_no_delay)),
            *(float(self.minimum_delay) for _each in range(self.minimum_delay_retries)),
            *self._growing(),
            *(float(self.maximum_delay) for _each in range(self.maximum_delay_retries)),
        )

    def delay_after(self, attempts: int, chance: float = 0.5) -> float | None:
        """Seconds to wait after so many attempts failed; None: give up.

        `chance` from 0 to 1 chooses within the jitter.
        """
        delays = self.delays()
        if not 1 <= attempts <= len(delays):
            return None
        return delays[attempts - 1] * (1 - JITTER + 2 * JITTER * chance)

    def _growing(self) -> tuple[float, ...]:
        """The delays between the shortest and the longest."""
        grow = _GROWTH[self.retry_backoff_function]
        found: list[float] = []
        delay, step = float(self.minimum_delay), 1
        while len(found) < MOST_GROWING:
            delay = grow(delay, float(self.minimum_delay), step)
            if delay >= self.maximum_delay:
                break
            found.append(delay)
            step += 1
        return tuple(found)


MOST_GROWING = 100
_GROWTH: dict[str, Callable[[float, float, int], float]] = {
    "linear": lambda delay, first, _step: delay + first,
    "arithmetic": lambda delay, first, step: delay + first * step,
    "geometric": lambda delay, _first, _step: delay * 1.5,
    "exponential": lambda delay, _first, _step: delay * 2,
}
DEFAULT_POLICY = RetryPolicy()
