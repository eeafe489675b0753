"""What subscriptions and deliveries look like. Under `/v2/queues` they have the peer's fields."""

from datetime import datetime
from typing import Any

from kilo_common.clock import iso8601
from kilo_messaging.domain.delivery import Attempt, Delivery
from kilo_messaging.domain.subscription import Subscription, SubscriptionState


def is_queue(base: str) -> bool:
    """Whether the request came by the compatibility name."""
    return base.endswith("/queues")


def subscription_view(subscription: Subscription, base: str, now: datetime) -> dict[str, Any]:
    """A subscription; by its native name also how it stands. Its secret is never shown."""
    view: dict[str, Any] = {
        "id": subscription.id,
        "source": subscription.key.name,
        "subscriber": subscription.subscriber,
        "ttl": subscription.ttl,
        "age": subscription.age(now),
        "options": subscription.given,
        "confirmed": subscription.confirmed,
    }
    if is_queue(base):
        return view
    health = subscription.health
    since = health.failing_since
    is_failing = subscription.state is SubscriptionState.ACTIVE and health.failures > 0
    return view | {
        "state": "failing" if is_failing else subscription.state.value,
        "failures": health.failures,
        "failing_since": None if since is None else iso8601(since),
        "reason": health.reason,
        "signing_keys": sum(key.is_live(now) for key in subscription.signing_keys),
    }


def attempt_view(attempt: Attempt) -> dict[str, Any]:
    """A line of the log."""
    return {
        "delivery": attempt.delivery,
        "message_id": attempt.message_id,
        "number": attempt.number,
        "at": iso8601(attempt.at),
        "milliseconds": attempt.milliseconds,
        "result": attempt.result.value,
        "status": attempt.status,
        "detail": attempt.detail,
    }


def delivery_view(delivery: Delivery) -> dict[str, Any]:
    """A delivery that has not arrived."""
    return {
        "id": delivery.position,
        "message_id": delivery.notice.message_id,
        "attempts": delivery.attempts,
        "state": "failed" if delivery.failed else "pending",
        "due_at": None if delivery.failed else iso8601(delivery.due_at),
        "posted_at": iso8601(delivery.notice.posted_at),
        "expires_at": iso8601(delivery.notice.expires_at),
        "reason": delivery.reason,
    }
