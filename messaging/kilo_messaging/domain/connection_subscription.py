"""A subscription of one connection: what is posted to a topic is pushed to it."""

from datetime import datetime, timedelta

import msgspec

from kilo_messaging.domain.topic import TopicKey


class ConnectionSubscription(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription. It ends with its connection, or earlier if it has a life of its own."""

    id: str
    key: TopicKey
    created_at: datetime
    ttl: int | None = None

    def is_live(self, now: datetime) -> bool:
        """Whether messages are still wanted."""
        return self.ttl is None or now < self.created_at + timedelta(seconds=self.ttl)

    def age(self, now: datetime) -> int:
        """Whole seconds since it was made or renewed."""
        return max(0, int((now - self.created_at).total_seconds()))
