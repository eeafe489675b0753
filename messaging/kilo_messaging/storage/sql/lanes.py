"""Lanes in SQL: handing out messages of an ordered topic without looking past what must wait.

Every function takes part in its caller's transaction. The rule that keeps it free of deadlocks:
the rows of lanes are locked first, in the order of their names, and then rows of messages.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache
from itertools import takewhile
from typing import Any

import sqlalchemy as sa

from kilo_messaging.domain.message import Message, State
from kilo_messaging.storage.sql.tables import lanes, message_of, messages

_c = messages.c
BUSY_PAUSES = (0.005, 0.01, 0.02, 0.04, 0.08, 0.0)
Bury = Callable[[Sequence[Message]], None]
"""Moves messages to the dead letters."""
IsDead = Callable[[int], bool]
"""Whether a message that was claimed so often is claimed no more."""

DUE_LANES = (
    sa.select(lanes.c.name)
    .where(lanes.c.topic_id == sa.bindparam("topic"), lanes.c.next_at <= sa.bindparam("now"))
    .order_by(lanes.c.next_at)
    .limit(sa.bindparam("limit"))
)
IN_LANE = (
    sa.select(messages)
    .where(
        _c.topic_id == sa.bindparam("topic"),
        _c.lane == sa.bindparam("lane"),
        _c.expires_at > sa.bindparam("now"),
    )
    .order_by(_c.seq)
    .limit(sa.bindparam("limit"))
)


class LanesBusy(Exception):
    """All lanes worth a look are locked by others."""


def when_free(take: Callable[[], list[Message]]) -> list[Message]:
    """What `take` finds, in a transaction of its own; again a few times where lanes are busy."""
    for pause in BUSY_PAUSES:
        try:
            return take()
        except LanesBusy:
            time.sleep(pause)
    return []


def open_lanes(connection: sa.Connection, wanted: Iterable[tuple[int, str]], now: datetime) -> None:
    """Lock these lanes of (topic, name) for messages that are about to be added; make new ones."""
    rows = [
        {"topic_id": topic_id, "name": name, "next_at": now}
        for topic_id, name in sorted(set(wanted))
    ]
    if rows:
        connection.execute(_upsert(connection.dialect.name), rows)


def lock_lanes(connection: sa.Connection, topic_id: int, chosen: sa.Select[Any]) -> list[str]:
    """Lock the lanes of the messages that `chosen` selects the lane of; their names."""
    names = sorted(set(connection.execute(chosen).scalars()) - {None})
    for name in names:
        one = (lanes.c.topic_id == topic_id, lanes.c.name == name)
        connection.execute(sa.select(lanes.c.name).where(*one).with_for_update())
    return names


def wake_lanes(
    connection: sa.Connection, topic_id: int, names: Sequence[str] | None, now: datetime
) -> None:
    """Somebody must look at these lanes again (None: all), for their first may have changed."""
    if names is not None and not names:
        return
    late = [lanes.c.topic_id == topic_id, lanes.c.next_at > now]
    if names is not None:
        late.append(lanes.c.name.in_(names))
    connection.execute(lanes.update().where(*late).values(next_at=now))


class LaneReader:
    """Takes messages from the lanes of one topic, at one time."""

    def __init__(
        self, connection: sa.Connection, topic_id: int, now: datetime, until: datetime | None
    ) -> None:
        """What is taken is claimed until `until`, or removed if that is None."""
        self._connection = connection
        self._topic_id = topic_id
        self._now = now
        self._until = until

    def take(self, limit: int, is_dead: IsDead, bury: Bury) -> list[Message]:
        """Up to `limit` messages, oldest first, locked until the transaction ends.

        From each lane come its first ones, and none behind one that is claimed or held back.

        Raises:
            LanesBusy: all lanes that may have some are in other hands just now.
        """
        found: list[Message] = []
        looked = False
        while len(found) < limit and (names := self._due(limit - len(found))):
            looked = True
            for name in names:
                if len(found) < limit:
                    found += self._from_lane(name, limit - len(found), is_dead, bury)
        if not looked and self._any_due():
            raise LanesBusy
        return sorted(found, key=lambda message: message.position)

    def _due(self, limit: int) -> Sequence[str]:
        """Lanes that nobody else has locked. They are found in the order of their time, and others
        lock them by name: who waited for one here would be waited for."""
        query = DUE_LANES.with_for_update(skip_locked=True)
        parameters = {"topic": self._topic_id, "now": self._now, "limit": limit}
        return self._connection.execute(query, parameters).scalars().all()

    def _any_due(self) -> bool:
        parameters = {"topic": self._topic_id, "now": self._now, "limit": 1}
        return self._connection.execute(DUE_LANES, parameters).first() is not None

    def _from_lane(self, name: str, limit: int, is_dead: IsDead, bury: Bury) -> list[Message]:
        first = self._first_of(name, limit + 1)
        ready = list(takewhile(self._is_ready, first))[:limit]
        dead = [message for message in ready if is_dead(message.claim_count)]
        if dead:
            bury(dead)
            # What comes after them moves up, and may still fit.
            return self._from_lane(name, limit, is_dead, bury)
        if ready and self._until is not None:
            self._set(name, self._until)
        elif len(first) > len(ready):
            self._set(name, self._look_at(first[len(ready)]))
        else:
            one = (lanes.c.topic_id == self._topic_id, lanes.c.name == name)
            self._connection.execute(lanes.delete().where(*one))
        return ready

    def _first_of(self, name: str, limit: int) -> list[Message]:
        parameters = {"topic": self._topic_id, "lane": name, "now": self._now, "limit": limit}
        rows = self._connection.execute(IN_LANE.with_for_update(), parameters)
        return [message_of(row) for row in rows]

    def _is_ready(self, message: Message) -> bool:
        return message.state_at(self._now) is State.READY

    def _look_at(self, first: Message) -> datetime:
        """When a lane that begins with `first` is worth a look."""
        if self._is_ready(first):
            return self._now
        return min(first.visible_at, first.expires_at)

    def _set(self, name: str, next_at: datetime) -> None:
        one = (lanes.c.topic_id == self._topic_id, lanes.c.name == name)
        self._connection.execute(lanes.update().where(*one).values(next_at=next_at))


@cache
def _upsert(dialect: str) -> sa.Insert:
    """To add a lane or, if it is there, to lock it as it is: each database has its own words.

    Only an update locks the row; it changes nothing.
    """
    key = ["topic_id", "name"]
    # Each dialect takes long to import, and a process needs one.
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite  # noqa: PLC0415

        return sqlite.insert(lanes).on_conflict_do_nothing(index_elements=key)
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415

        return postgresql.insert(lanes).on_conflict_do_update(
            index_elements=key, set_={"next_at": lanes.c.next_at}
        )
    from sqlalchemy.dialects import mysql  # noqa: PLC0415

    return mysql.insert(lanes).on_duplicate_key_update(next_at=lanes.c.next_at)
