"""What a message store does for subscriptions: two more interfaces of the same driver.

`MessageStore.post` records a delivery for every subscription of the topic that wants the message
(`Subscription.wants`), in the transaction that keeps the message. Every driver passes
`tests/contracts/subscription_store.py`. The rules of `storage.base` hold here too.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from kilo_messaging.domain.delivery import Attempt, Delivery, Job, Settlement
from kilo_messaging.domain.subscription import Subscription
from kilo_messaging.domain.topic import TopicKey

ChangeSubscription = Callable[[Subscription], Subscription]
"""Makes the new subscription out of the old; pure, and may be called more than once."""


class SubscriptionStore(ABC):
    """Subscriptions by topic. One whose life has ended is not there."""

    @abstractmethod
    def create(self, subscription: Subscription, now: datetime) -> Subscription:
        """Keep a new subscription; a missing topic is made first. What is kept is returned.

        A topic has one subscription of a subscriber. Where there is an unconfirmed one, the new
        one takes its place, and its id.

        Raises:
            SubscriptionExists: there is a confirmed one.
        """

    @abstractmethod
    def get(self, key: TopicKey, subscription_id: str, now: datetime) -> Subscription | None:
        """The subscription, or None."""

    @abstractmethod
    def page(
        self, key: TopicKey, *, after: str, limit: int, now: datetime
    ) -> Sequence[Subscription]:
        """The topic's subscriptions by id, those greater than `after` (`""`: from the first)."""

    @abstractmethod
    def update(
        self, key: TopicKey, subscription_id: str, change: ChangeSubscription, now: datetime
    ) -> Subscription | None:
        """Keep what `change` makes of the subscription; None if there is none.

        Raises:
            SubscriptionExists: another one has the subscriber that it is given.
            What `change` raises; then nothing is changed.
        """

    @abstractmethod
    def delete(self, key: TopicKey, subscription_id: str) -> None:
        """Remove the subscription with its deliveries and its log; a missing one is no error."""


class DeliveryStore(ABC):
    """What is on its way to subscribers, and the log of attempts."""

    @abstractmethod
    def claim(
        self, now: datetime, until: datetime, *, limit: int, each: int, busy: Collection[str] = ()
    ) -> Sequence[Job]:
        """Take deliveries that are due, at most `limit`; nobody else gets them before `until`.

        One subscription gives `each` at most, and one in `busy` none; those that have waited
        longest come first. Only ACTIVE subscriptions give any. A job has as many deliveries as the
        subscription's `batch` admits; in a lane, only what comes first is due.
        """

    @abstractmethod
    def next_due(self, now: datetime) -> datetime | None:
        """When the next delivery of an ACTIVE subscription is due that is not due yet, or None."""

    @abstractmethod
    def settle(self, settlements: Sequence[Settlement], now: datetime) -> None:
        """Record how attempts ended, and log them.

        DELIVERED removes the delivery, RETRY makes it due at `due_at`, FAILED keeps it as failed,
        GONE keeps it as failed and disables the subscription. The subscription's health follows.
        What is not there any more is no error.
        """

    @abstractmethod
    def attempts(
        self, key: TopicKey, subscription_id: str, *, before: int | None, limit: int
    ) -> Sequence[Attempt]:
        """The subscription's log, newest first, from before a position on."""

    @abstractmethod
    def pending(
        self,
        key: TopicKey,
        subscription_id: str,
        *,
        failed: bool,
        after: int,
        limit: int,
        now: datetime,
    ) -> Sequence[Delivery]:
        """The subscription's deliveries that have failed, or else those on their way."""

    @abstractmethod
    def redeliver(
        self,
        key: TopicKey,
        subscription_id: str,
        now: datetime,
        *,
        positions: Collection[int] | None = None,
        since: datetime | None = None,
    ) -> int:
        """Make failed deliveries due again, as if they had never been tried; how many.

        Those with these positions, or those whose message was posted at or after `since`, or all.
        """

    @abstractmethod
    def put(
        self, key: TopicKey, subscription_id: str, deliveries: Sequence[Delivery], now: datetime
    ) -> None:
        """Add deliveries of another store, behind all others, as they are.

        Where there is no such subscription, nothing happens.
        """

    @abstractmethod
    def sweep(self, now: datetime, limit: int, forget_attempts: datetime) -> int:
        """Remove up to `limit` things that are over; how many there were.

        These are deliveries of expired messages, expired subscriptions with all that is theirs,
        what deleted topics left behind, and attempts before `forget_attempts`.
        """
