"""A clock that tests move, so that what takes long happens at once."""

from datetime import datetime

from kilo_common.clock import ShiftedClock
from kilo_common.context import RequestContext
from kilo_messaging.errors import PathNotFound
from kilo_messaging.service.desk import Desk, within
from kilo_messaging.service.wake_up import WakeUp

FARTHEST = 10 * 366 * 24 * 3600
"""Seconds that one step may take at most."""


class ClockOperations:
    """What a test may do with the service's clock, where there is one for tests."""

    def __init__(self, desk: Desk, wake: WakeUp) -> None:
        self._desk = desk
        self._wake = wake

    def now(self, context: RequestContext) -> datetime:
        """What the service's clock says.

        Raises:
            PathNotFound: the clock is the machine's, and nobody's to move.
        """
        self._movable()
        self._desk.permit(context, "clock:get")
        return self._desk.now()

    def advance(self, context: RequestContext, seconds: float) -> datetime:
        """Let `seconds` pass: lives, claims and delays end, retries are due. What it says then.

        Raises:
            PathNotFound: the clock is the machine's, and nobody's to move.
            LimitExceeded: backwards, or too far.
        """
        clock = self._movable()
        self._desk.permit(context, "clock:advance")
        within("advance", seconds, 0, FARTHEST)
        clock.advance(seconds)
        self._wake.ring()
        return self._desk.now()

    def _movable(self) -> ShiftedClock:
        if not isinstance(self._desk.clock, ShiftedClock):
            raise PathNotFound(
                "There is a clock for tests only in a stack that was started with --ephemeral"
            )
        return self._desk.clock
