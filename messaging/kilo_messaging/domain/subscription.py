"""A subscription that is kept: what is posted to its topic is delivered to its subscriber.

Its state, and what leads from one to another, is one table. Whether it is failing at the moment is
not a state: deliveries go on, and `health` says since when and why.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from msgspec import Struct, structs

from kilo_messaging.domain.message import Message
from kilo_messaging.domain.subscription_options import Options
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.domain.webhook_signature import SigningKey, new_secret
from kilo_messaging.errors import SubscriptionStateConflict

DETAIL_LENGTH = 500


class SubscriptionState(Enum):
    """What is done with what is posted."""

    UNCONFIRMED = "unconfirmed"
    """Nothing is recorded for it before the subscriber has agreed."""
    ACTIVE = "active"
    """It is delivered."""
    PAUSED = "paused"
    """It is recorded, and delivered when the subscription is resumed."""
    DISABLED = "disabled"
    """The subscriber said that it is gone. Nothing is recorded."""


TRANSITIONS: Mapping[SubscriptionState, frozenset[SubscriptionState]] = {
    SubscriptionState.UNCONFIRMED: frozenset({SubscriptionState.ACTIVE}),
    SubscriptionState.ACTIVE: frozenset(
        {SubscriptionState.PAUSED, SubscriptionState.DISABLED, SubscriptionState.UNCONFIRMED}
    ),
    SubscriptionState.PAUSED: frozenset(
        {SubscriptionState.ACTIVE, SubscriptionState.UNCONFIRMED, SubscriptionState.DISABLED}
    ),
    SubscriptionState.DISABLED: frozenset(
        {SubscriptionState.ACTIVE, SubscriptionState.UNCONFIRMED}
    ),
}
RECORDING = frozenset({SubscriptionState.ACTIVE, SubscriptionState.PAUSED})
"""States in which what is posted is kept for the subscriber."""


class Health(Struct, frozen=True, kw_only=True):
    """How deliveries went lately."""

    failures: int = 0
    """Attempts that failed since the last that did not."""
    failing_since: datetime | None = None
    reason: str | None = None
    """Why the last one failed, or why the subscription is disabled."""

    def failed(self, reason: str, now: datetime) -> "Health":
        """This, after one more failure."""
        return Health(
            failures=self.failures + 1,
            failing_since=self.failing_since or now,
            reason=reason[:DETAIL_LENGTH],
        )


WELL = Health()


class Subscription(Struct, frozen=True, kw_only=True):
    """A subscription as it is kept."""

    id: str
    key: TopicKey
    subscriber: str
    """A URI; see `domain.subscriber`."""
    ttl: int
    """Seconds it lives from `created_at` on."""
    options: Options
    given: Mapping[str, Any]
    """The options as the client gave them, to be shown."""
    created_at: datetime
    state: SubscriptionState = SubscriptionState.ACTIVE
    health: Health = WELL
    signing_keys: tuple[SigningKey, ...] = ()

    @property
    def expires_at(self) -> datetime:
        """When its life ends."""
        return self.created_at + timedelta(seconds=self.ttl)

    def is_live(self, now: datetime) -> bool:
        """Whether its life has not ended."""
        return now < self.expires_at

    def age(self, now: datetime) -> int:
        """Whole seconds since it was made."""
        return max(0, int((now - self.created_at).total_seconds()))

    @property
    def confirmed(self) -> bool:
        """Whether the subscriber has agreed."""
        return self.state is not SubscriptionState.UNCONFIRMED

    def wants(self, message: Message, now: datetime) -> bool:
        """Whether a message that is posted now is to be delivered."""
        wanted = self.options.filter
        return (
            self.state in RECORDING
            and self.is_live(now)
            and (wanted is None or wanted.matches(message.body, message.attributes))
        )

    def move(self, state: SubscriptionState) -> "Subscription":
        """This subscription in another state; in its own it stays as it is.

        Raises:
            SubscriptionStateConflict: the table does not lead there.
        """
        if state is self.state:
            return self
        if state not in TRANSITIONS[self.state]:
            raise SubscriptionStateConflict(
                f"A subscription that is {self.state.value} cannot become {state.value}",
                subscription_id=self.id,
                state=self.state.value,
            )
        return structs.replace(self, state=state, health=WELL)

    def with_new_key(self, secret: str | None, keep_old: int, now: datetime) -> "Subscription":
        """This, signing with another secret too; the newest old one counts `keep_old` seconds more.

        More than two keys never live at once.
        """
        end = now + timedelta(seconds=keep_old)
        old = [structs.replace(key, expires_at=end) for key in self.signing_keys[:1]]
        return structs.replace(self, signing_keys=(SigningKey(secret=secret or new_secret()), *old))
