"""Deliveries of a topic that keeps order: in each lane the first goes before the others."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from kilo_messaging.domain.subscription import Subscription
from kilo_messaging.storage.sql.subscription_tables import PENDING, deliveries, notices

LOOK = 256
_d = deliveries.c
WITH_NOTICE = sa.select(
    deliveries, *(column for column in notices.c if column.name != "message_id")
).join(notices, _d.message_id == notices.c.message_id)
"""Deliveries with what they deliver."""


def take_lanes(
    connection: sa.Connection,
    subscription: Subscription,
    room: int,
    now: datetime,
    until: datetime,
) -> Sequence[Any]:
    """The due deliveries at the front of lanes, at most `room`, a batch of each lane.

    What waits behind them, or behind one that is not due yet, is made due no earlier.
    """
    found: list[Any] = []
    seen: set[str] = set()
    while len(found) < room:
        rows = _oldest(connection, subscription.id, seen, now)
        fronts: dict[str, list[Any]] = {}
        for row in rows:
            fronts.setdefault(row.lane, []).append(row)
        for lane, waiting in fronts.items():
            if len(found) >= room:
                break
            seen.add(lane)
            front = waiting[0]
            if front.due_at > now:
                _hold_back(connection, subscription.id, lane, front.due_at)
                continue
            run = [row for row in waiting[: subscription.options.batch] if row.due_at <= now]
            run = run[: room - len(found)]
            if _lock(connection, run):
                found += run
                _hold_back(connection, subscription.id, lane, until)
        if len(rows) < LOOK:
            break
    return found


def wake_lanes(connection: sa.Connection, lanes: Iterable[tuple[str, str]], now: datetime) -> None:
    """Make the first of each lane due, after what was before it has gone.

    Lanes are pairs of a subscription's id and a lane's name.
    """
    for subscription_id, lane in lanes:
        those = (
            _d.subscription_id == subscription_id,
            _d.lane == lane,
            _d.state == PENDING,
        )
        # `due_at` of what was never tried is nothing but the time it was held back to; what was
        # tried before keeps the delay it was given.
        front = connection.execute(
            sa.select(_d.seq, _d.attempts, notices.c.visible_at)
            .join(notices, _d.message_id == notices.c.message_id)
            .where(*those)
            .order_by(_d.seq)
            .limit(1)
        ).first()
        if front is not None and front.attempts == 0:
            connection.execute(
                deliveries.update()
                .where(_d.seq == front.seq)
                .values(due_at=max(now, front.visible_at))
            )


def _oldest(
    connection: sa.Connection, subscription_id: str, seen: set[str], now: datetime
) -> Sequence[Any]:
    query = WITH_NOTICE.where(
        _d.subscription_id == subscription_id,
        _d.state == PENDING,
        _d.lane.is_not(None),
        notices.c.expires_at > now,
    )
    if seen:
        query = query.where(_d.lane.not_in(seen))
    return connection.execute(query.order_by(_d.seq).limit(LOOK)).all()


def _lock(connection: sa.Connection, rows: Sequence[Any]) -> bool:
    """Whether all of these are still there and nobody else's."""
    wanted = [row.seq for row in rows]
    query = sa.select(_d.seq).where(_d.seq.in_(wanted), _d.state == PENDING)
    held = connection.execute(query.with_for_update(skip_locked=True)).all()
    return len(held) == len(wanted)


def _hold_back(
    connection: sa.Connection, subscription_id: str, lane: str, moment: datetime
) -> None:
    connection.execute(
        deliveries.update()
        .where(
            _d.subscription_id == subscription_id,
            _d.lane == lane,
            _d.state == PENDING,
            _d.due_at < moment,
        )
        .values(due_at=moment)
    )
