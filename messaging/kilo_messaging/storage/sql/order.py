"""Reading messages in order: what is due is made ready first, then one stretch of index is read."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from kilo_common.db.prepared import Prepared
from kilo_messaging.domain.message import State
from kilo_messaging.storage.sql.tables import messages

DUE_BATCH = 500
_c = messages.c


class rare(FunctionElement[Any]):  # noqa: N801 - used as a function
    """A condition that few rows fulfil: a word for SQLite's planner, nothing to others."""

    # It has no type: a Boolean would become `… = 1`, in which no index can be seen.
    inherit_cache = True


@compiles(rare)
def _as_it_is(element: rare, compiler: Any, **options: Any) -> str:
    text: str = compiler.process(element.clauses, **options)
    return text


@compiles(rare, "sqlite")
def _for_the_planner(element: rare, compiler: Any, **options: Any) -> str:
    return f"unlikely({_as_it_is(element, compiler, **options)})"


def _due(state: State) -> sa.Select[Any]:
    """Messages that waited in `state` and need not any more.

    A partial index is used only where the database can see that its condition holds: PostgreSQL
    concludes it from a state that is written into the statement, SQLite wants the condition itself,
    and would then walk through all that waits unless it is told what tells them apart.
    """
    return sa.select(_c.seq).where(
        _c.topic_id == sa.bindparam("topic"),
        _c.state > sa.literal_column("0"),
        rare(_c.state == sa.literal_column(str(int(state)))),
        _c.visible_at <= sa.bindparam("now"),
    )


DUE: Mapping[State, Prepared] = {
    state: Prepared(_due(state).limit(DUE_BATCH).with_for_update(skip_locked=True))
    for state in (State.CLAIMED, State.DELAYED)
}
ANY_DUE: Mapping[State, Prepared] = {
    state: Prepared(_due(state).limit(1)) for state in (State.CLAIMED, State.DELAYED)
}
_READY = sa.select(messages).where(
    _c.topic_id == sa.bindparam("topic"),
    _c.state == sa.literal_column(str(int(State.READY))),
    _c.expires_at > sa.bindparam("now"),
)


def _first(query: sa.Select[Any], *order: sa.ColumnElement[Any]) -> Prepared:
    limited = query.order_by(*order).limit(sa.bindparam("limit"))
    return Prepared(limited.with_for_update(skip_locked=True))


READY = _first(_READY, _c.seq)
URGENT = _first(_READY.where(_c.priority > sa.literal_column("0")), _c.priority.desc(), _c.seq)
NOT_URGENT = _first(_READY.where(_c.priority == sa.literal_column("0")), _c.seq)


def any_due(connection: sa.Connection, topic_id: int, now: datetime) -> bool:
    """Whether a claim or a delay of the topic has ended and nobody has noted it yet."""
    parameters = {"topic": topic_id, "now": now}
    return any(query.first(connection, parameters) is not None for query in ANY_DUE.values())


def make_due_ready(connection: sa.Connection, topic_id: int, now: datetime) -> None:
    """Note which claims and delays have ended, at most a batch of each."""
    for query in DUE.values():
        due = query.rows(connection, {"topic": topic_id, "now": now})
        if due:
            connection.execute(
                messages.update()
                .where(_c.seq.in_([row.seq for row in due]))
                .values(state=int(State.READY), claim_id=None)
            )


def take_ready(
    connection: sa.Connection, topic_id: int, limit: int, now: datetime, *, priorities: bool
) -> Sequence[Any]:
    """The oldest ready rows, locked until the transaction ends; rows others hold are skipped.

    With `priorities`, those of a higher one come first.
    """
    found: list[Any] = []
    for query in (URGENT, NOT_URGENT) if priorities else (READY,):
        if len(found) < limit:
            parameters = {"topic": topic_id, "now": now, "limit": limit - len(found)}
            found += query.rows(connection, parameters)
    return found
