"""What becomes of a message after it was worked on."""

from enum import Enum

import msgspec

from kilo_common.bus.transport import Delivery


class Outcome(Enum):
    """The three ways to settle a delivery."""

    DONE = "done"
    """Forget it."""
    AGAIN = "again"
    """Give it out again, to whoever is free."""
    DEAD = "dead"
    """Put it among the dead letters."""


class Verdict(msgspec.Struct, frozen=True):
    """An outcome, and for the dead the reason."""

    outcome: Outcome
    reason: str = ""

    def settle(self, delivery: Delivery) -> None:
        """Do to `delivery` what the verdict says."""
        if self.outcome is Outcome.DONE:
            delivery.ack()
        elif self.outcome is Outcome.AGAIN:
            delivery.requeue()
        else:
            delivery.reject(self.reason)


DONE = Verdict(Outcome.DONE)
REQUEUE = Verdict(Outcome.AGAIN)


def reject(reason: str) -> Verdict:
    """The verdict that a message can never be served, for `reason`."""
    return Verdict(Outcome.DEAD, reason)
