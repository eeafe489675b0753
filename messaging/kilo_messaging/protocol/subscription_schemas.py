"""What the actions on subscriptions take."""

from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from kilo_messaging.domain.subscription import SubscriptionState
from kilo_messaging.protocol.schemas import Id, Position, Text, TopicParameters
from kilo_messaging.service.subscriptions import KEEP_OLD_KEY


class OneSubscription(TopicParameters, frozen=True, kw_only=True):
    subscription_id: Id


class SubscriptionList(TopicParameters, frozen=True, kw_only=True):
    marker: Text = ""
    limit: int | None = None


class LogPage(OneSubscription, frozen=True, kw_only=True):
    marker: Position | None = None
    limit: int | None = None


class DeliveryList(OneSubscription, frozen=True, kw_only=True):
    marker: Position = 0
    limit: int | None = None
    failed: bool = False


class SubscriptionDocument(Struct, frozen=True):
    """Without a subscriber it is the connection's own, which only a WebSocket has."""

    subscriber: str | None = None
    ttl: int | None = None
    options: dict[str, Any] | None = None
    cursor: str | None = None
    """For the connection's own: from where to follow the topic."""


class SubscriptionChange(Struct, frozen=True):
    subscriber: str | None = None
    ttl: int | None = None
    options: dict[str, Any] | None = None
    state: SubscriptionState | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return (self.subscriber, self.ttl, self.options, self.state) == (None, None, None, None)


class ConfirmDocument(Struct, frozen=True):
    confirmed: bool


class KeyDocument(Struct, frozen=True):
    secret: str | None = None
    keep_old: int = KEEP_OLD_KEY
    """Seconds for which the key before signs too."""


class RedeliverDocument(Struct, frozen=True):
    deliveries: Annotated[list[Position], Meta(min_length=1, max_length=100)] | None = None
    since: datetime | None = None

    @property
    def moment(self) -> datetime | None:
        """`since`, in UTC where it does not say."""
        if self.since is None or self.since.tzinfo is not None:
            return self.since
        return self.since.replace(tzinfo=UTC)
