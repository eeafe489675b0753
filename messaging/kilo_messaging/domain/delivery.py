"""A message on its way to one subscriber, and what became of each attempt.

A delivery waits until it is due, is in the hands of a worker for the length of a lease, and is gone
when it has arrived. One that was tried often enough is kept as failed until its message's life
ends; it can be sent again. In a lane (a FIFO topic, or a message group) the earliest goes first,
and the others wait until it has arrived or failed.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum

from msgspec import Struct, structs

from kilo_messaging.domain.message import Message
from kilo_messaging.domain.subscription import WELL, Subscription, SubscriptionState
from kilo_messaging.domain.topic import TopicKey


class Notice(Struct, frozen=True, kw_only=True):
    """What is delivered: a message as it was posted, whatever has become of it in its topic."""

    message_id: str
    body: bytes
    ttl: int
    group: str | None
    attributes: bytes | None
    posted_at: datetime
    expires_at: datetime
    visible_at: datetime
    """It is not delivered before."""


class Delivery(Struct, frozen=True, kw_only=True):
    """One notice for one subscription."""

    position: int
    """Its place among the deliveries; given by the store, never twice."""
    subscription_id: str
    notice: Notice
    attempts: int = 0
    """Those that have ended."""
    due_at: datetime
    failed: bool = False
    """It was tried often enough."""
    reason: str | None = None
    """Why the last attempt failed."""


class Job(Struct, frozen=True):
    """Deliveries that a worker has in hand, all for one subscription and in order."""

    subscription: Subscription
    deliveries: Sequence[Delivery]


class Result(Enum):
    """What became of an attempt."""

    DELIVERED = "delivered"
    RETRY = "retry"
    """It failed and is due again."""
    FAILED = "failed"
    """It failed and is not tried again by itself."""
    GONE = "gone"
    """The subscriber said that it wants no more: the subscription is disabled."""


class Attempt(Struct, frozen=True, kw_only=True):
    """One line of a subscription's log."""

    delivery: int
    message_id: str
    number: int
    """1 for the first attempt of a delivery."""
    at: datetime
    """When it ended."""
    milliseconds: int
    result: Result
    status: int | None = None
    """Of the HTTP answer."""
    detail: str = ""
    """The first part of the answer, or what went wrong."""
    position: int = 0
    """Its place in the log; given by the store."""


class Settlement(Struct, frozen=True, kw_only=True):
    """How a worker's attempt at one delivery ended."""

    key: TopicKey
    """The subscription's topic."""
    subscription_id: str
    attempt: Attempt
    due_at: datetime | None = None
    """For RETRY: when it is due again."""


def notice_of(message: Message) -> Notice:
    """What is delivered of a message that is being posted."""
    return Notice(
        message_id=message.id,
        body=message.kept_body,
        ttl=message.ttl,
        group=message.group,
        attributes=message.attributes,
        posted_at=message.created_at,
        expires_at=message.expires_at,
        visible_at=message.visible_at,
    )


def health_after(
    subscription: Subscription, attempts: Sequence[Attempt], now: datetime
) -> Subscription:
    """The subscription after these attempts, in the order in which they ended."""
    state, health = subscription.state, subscription.health
    for attempt in attempts:
        if attempt.result is Result.DELIVERED:
            health = WELL
            continue
        health = health.failed(attempt.detail, now)
        if attempt.result is Result.GONE:
            state = SubscriptionState.DISABLED
    if (state, health) == (subscription.state, subscription.health):
        return subscription
    return structs.replace(subscription, state=state, health=health)
