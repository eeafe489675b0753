"""Reading messages in order: what is due is made ready first, then one stretch of index is read."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from kilo_messaging.domain.message import State
from kilo_messaging.storage.sql.tables import messages

DUE_BATCH = 500
_c = messages.c

_ANY_DUE = (
    sa.select(_c.seq)
    .where(
        _c.topic_id == sa.bindparam("topic"),
        _c.state == sa.bindparam("state"),
        _c.visible_at <= sa.bindparam("now"),
    )
    .limit(1)
)
_DUE = _ANY_DUE.limit(DUE_BATCH).with_for_update(skip_locked=True)
_READY = (
    sa.select(messages)
    .where(
        _c.topic_id == sa.bindparam("topic"),
        _c.state == int(State.READY),
        _c.expires_at > sa.bindparam("now"),
    )
    .order_by(_c.seq)
    .limit(sa.bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_WAITING = (State.CLAIMED, State.DELAYED)


def any_due(connection: sa.Connection, topic_id: int, now: datetime) -> bool:
    """Whether a claim or a delay of the topic has ended and nobody has noted it yet."""
    return any(
        connection.execute(_ANY_DUE, {"topic": topic_id, "state": int(state), "now": now}).first()
        is not None
        for state in _WAITING
    )


def make_due_ready(connection: sa.Connection, topic_id: int, now: datetime) -> None:
    """Note which claims and delays have ended, at most a batch of each."""
    for state in _WAITING:
        parameters = {"topic": topic_id, "state": int(state), "now": now}
        due = connection.execute(_DUE, parameters).scalars().all()
        if due:
            connection.execute(
                messages.update()
                .where(_c.seq.in_(due))
                .values(state=int(State.READY), claim_id=None)
            )


def take_ready(
    connection: sa.Connection, topic_id: int, limit: int, now: datetime
) -> Sequence[Any]:
    """The oldest ready rows, locked until the transaction ends; rows others hold are skipped."""
    found = connection.execute(_READY, {"topic": topic_id, "now": now, "limit": limit})
    return found.all()
