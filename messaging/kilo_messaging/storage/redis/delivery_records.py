"""Subscriptions, deliveries and lines of the log as Redis keeps them, and back.

A subscription's record and its health are read by scripts, as is a delivery's; what is delivered
lies beside, once for all who want it (`lua/deliveries.lua`).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from kilo_messaging.domain.delivery import (
    Attempt,
    Delivery,
    Notice,
    Result,
    Settlement,
    notice_of,
)
from kilo_messaging.domain.message import Message
from kilo_messaging.domain.subscription import WELL, Health, Subscription, SubscriptionState
from kilo_messaging.domain.topic import Topic
from kilo_messaging.storage.redis.records import (
    body_of,
    message_from,
    micros,
    moment_of,
    packed,
    record_of,
)

_HEAD = 8
"""A notice begins with the length of its message's record, in so many digits."""
_REASON = 500
_DETAIL = 1024
_decode = msgspec.msgpack.decode


def subscription_fields(subscription: Subscription) -> list[Any]:
    """What is kept of a subscription, beside its id and its health."""
    return [
        subscription.state.value,
        micros(subscription.expires_at),
        subscription.subscriber,
        subscription.options.batch,
        msgspec.json.encode(subscription),
    ]


def subscription_from(subscription_id: str, record: bytes, health: bytes | None) -> Subscription:
    """A subscription out of its record; the state is that of the record."""
    state, _expires, _subscriber, _batch, document = _decode(record)
    return msgspec.structs.replace(
        msgspec.json.decode(document, type=Subscription),
        id=subscription_id,
        state=SubscriptionState(state),
        health=health_from(health),
    )


def health_from(record: bytes | None) -> Health:
    """How a subscription's deliveries went lately."""
    if not record:
        return WELL
    failures, since, reason = _decode(record)
    return Health(failures=failures, failing_since=moment_of(since), reason=reason)


def health_field(before: Health, after: Health) -> bytes | str:
    """What a change writes: nothing where it is as it was."""
    if before == after:
        return ""
    if after.failing_since is None:
        return "well"
    return packed([after.failures, micros(after.failing_since), after.reason or ""])


def wanted_by(
    message: Message, topic: Topic, subscriptions: Sequence[Subscription], now: datetime
) -> list[Any] | bool:
    """Who wants a message that is posted, when it is due, and in which lane; False for nobody."""
    owners = [each.id for each in subscriptions if each.wants(message, now)]
    if not owners:
        return False
    lane = topic.lane(message.group)
    return [owners, micros(message.visible_at), False if lane is None else lane]


def delivery_of(shown: Sequence[bytes]) -> Delivery:
    """A delivery that a script answered with: its position, record and notice."""
    position, record, notice = shown
    owner, due, _ends, tries, reason, _lane, _notice, failed = _decode(record)
    return Delivery(
        position=int(position),
        subscription_id=owner,
        notice=_notice_from(notice),
        attempts=tries,
        due_at=moment_of(due),
        failed=failed,
        reason=reason or None,
    )


def delivery_fields(delivery: Delivery, topic: Topic) -> list[Any]:
    """A delivery of another store as the script takes it."""
    notice = delivery.notice
    lane = topic.lane(notice.group)
    kept = [
        micros(delivery.due_at),
        delivery.attempts,
        delivery.reason or "",
        False if lane is None else lane,
        delivery.failed,
    ]
    message = Message(
        id=notice.message_id,
        body=notice.body,
        ttl=notice.ttl,
        client_id="",
        created_at=notice.posted_at,
        expires_at=notice.expires_at,
        visible_at=notice.visible_at,
        group=notice.group,
        attributes=notice.attributes,
    )
    return [packed(kept), packed(record_of(message, topic)), body_of(message)]


def _notice_from(entry: bytes) -> Notice:
    length = int(entry[:_HEAD])
    record, body = entry[_HEAD : _HEAD + length], entry[_HEAD + length :]
    return notice_of(message_from(_decode(record), body, 0))


def settlement_fields(settlement: Settlement) -> list[Any]:
    """A settlement as the script takes it."""
    attempt = settlement.attempt
    line = [
        attempt.number,
        attempt.detail[:_REASON],
        micros(attempt.at),
        settlement.subscription_id,
        attempt.delivery,
        attempt.message_id,
        attempt.milliseconds,
        attempt.result.value,
        False if attempt.status is None else attempt.status,
        attempt.detail[:_DETAIL],
    ]
    return [
        settlement.subscription_id,
        position_text(attempt.delivery),
        attempt.result.value,
        micros(settlement.due_at or attempt.at),
        packed(line),
    ]


def attempt_of(position: bytes, line: bytes) -> Attempt:
    """A line of the log."""
    number, _reason, at, _owner, delivery, message_id, milliseconds, result, status, detail = (
        _decode(line)
    )
    return Attempt(
        delivery=delivery,
        message_id=message_id,
        number=number,
        at=moment_of(at),
        milliseconds=milliseconds,
        result=Result(result),
        status=None if status is False else status,
        detail=detail,
        position=int(position),
    )


def position_text(position: int) -> str:
    """A position as scripts write it: sixteen digits, so that texts sort as numbers."""
    return f"{position:016}"
