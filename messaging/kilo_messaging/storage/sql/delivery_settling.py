"""Recording how attempts ended."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from kilo_messaging.domain.delivery import Result, Settlement, health_after
from kilo_messaging.domain.subscription import Subscription
from kilo_messaging.storage.sql.delivery_lanes import wake_lanes
from kilo_messaging.storage.sql.delivery_sweep import remove_idle_notices
from kilo_messaging.storage.sql.subscription_tables import (
    FAILED,
    PENDING,
    attempts,
    deliveries,
    subscription_of,
    subscriptions,
)

_d = deliveries.c
_s = subscriptions.c


def settle(connection: sa.Connection, settlements: Sequence[Settlement], now: datetime) -> None:
    """Record these; see `DeliveryStore.settle`."""
    present = _lock_subscriptions(connection, {each.subscription_id for each in settlements})
    known = [each for each in settlements if each.subscription_id in present]
    if not known:
        return
    connection.execute(attempts.insert(), [_attempt_row(each) for each in known])
    lanes = _lanes_of(connection, known)
    _end_deliveries(connection, known)
    wake_lanes(connection, lanes, now)
    for subscription_id, subscription in present.items():
        mine = [each.attempt for each in known if each.subscription_id == subscription_id]
        changed = health_after(subscription, mine, now)
        if changed != subscription:
            connection.execute(
                subscriptions.update()
                .where(_s.id == subscription_id)
                .values(state=changed.state.value, document=msgspec.json.encode(changed))
            )


def _lock_subscriptions(connection: sa.Connection, ids: set[str]) -> dict[str, Subscription]:
    # In one order, so that two that settle at once do not wait for each other.
    query = sa.select(subscriptions).where(_s.id.in_(sorted(ids))).order_by(_s.id)
    rows = connection.execute(query.with_for_update()).all()
    return {row.id: subscription_of(row) for row in rows}


def _lanes_of(
    connection: sa.Connection, settlements: Sequence[Settlement]
) -> list[tuple[str, str]]:
    """The lanes in which something ended for good."""
    ended = [
        each.attempt.delivery for each in settlements if each.attempt.result is not Result.RETRY
    ]
    query = (
        sa.select(_d.subscription_id, _d.lane)
        .where(_d.seq.in_(ended), _d.lane.is_not(None))
        .distinct()
    )
    return [(row.subscription_id, row.lane) for row in connection.execute(query)]


def _end_deliveries(connection: sa.Connection, settlements: Sequence[Settlement]) -> None:
    arrived = [each.attempt for each in settlements if each.attempt.result is Result.DELIVERED]
    if arrived:
        positions = [each.delivery for each in arrived]
        connection.execute(deliveries.delete().where(_d.seq.in_(positions)))
        remove_idle_notices(connection, {each.message_id for each in arrived})
    others = [each for each in settlements if each.attempt.result is not Result.DELIVERED]
    if others:
        change = (
            deliveries.update()
            .where(_d.seq == sa.bindparam("position"))
            .values(
                state=sa.bindparam("new_state"),
                due_at=sa.bindparam("new_due"),
                attempts=sa.bindparam("number"),
                reason=sa.bindparam("why"),
            )
        )
        connection.execute(change, [_change_row(each) for each in others])


def _change_row(settlement: Settlement) -> dict[str, Any]:
    attempt = settlement.attempt
    return {
        "position": attempt.delivery,
        "new_state": PENDING if attempt.result is Result.RETRY else FAILED,
        "new_due": settlement.due_at or attempt.at,
        "number": attempt.number,
        "why": attempt.detail[:500],
    }


def _attempt_row(settlement: Settlement) -> dict[str, Any]:
    attempt = settlement.attempt
    return {
        "subscription_id": settlement.subscription_id,
        "delivery": attempt.delivery,
        "message_id": attempt.message_id,
        "number": attempt.number,
        "at": attempt.at,
        "milliseconds": attempt.milliseconds,
        "result": attempt.result.value,
        "status": attempt.status,
        "detail": attempt.detail[:1024],
    }
