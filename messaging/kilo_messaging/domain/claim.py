"""A claim: for a while, some messages are one consumer's alone."""

from datetime import datetime, timedelta

import msgspec


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim as it is kept. Its messages carry its id."""

    id: str
    ttl: int
    grace: int
    created_at: datetime

    @property
    def expires_at(self) -> datetime:
        """When its messages come back."""
        return self.created_at + timedelta(seconds=self.ttl)

    @property
    def messages_live_until(self) -> datetime:
        """Its messages live at least so long, so that the consumer can finish and delete them."""
        return self.created_at + timedelta(seconds=self.ttl + self.grace)

    def is_live(self, now: datetime) -> bool:
        """Whether it still holds its messages."""
        return now < self.expires_at

    def age(self, now: datetime) -> int:
        """Whole seconds since it was made or renewed."""
        return max(0, int((now - self.created_at).total_seconds()))

    def renewed(self, ttl: int, grace: int, now: datetime) -> "Claim":
        """This claim, beginning anew at `now`."""
        return msgspec.structs.replace(self, ttl=ttl, grace=grace, created_at=now)
