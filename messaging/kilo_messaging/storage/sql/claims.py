"""Claims in SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from kilo_common.db.database import Database
from kilo_common.db.prepared import Prepared
from kilo_messaging.domain.claim import Claim
from kilo_messaging.domain.message import Message, State
from kilo_messaging.domain.topic import Ordering, Topic, TopicKey
from kilo_messaging.storage.base import ClaimStore
from kilo_messaging.storage.sql.inserts import insert_rows
from kilo_messaging.storage.sql.lanes import LaneReader, lock_lanes, wake_lanes, when_free
from kilo_messaging.storage.sql.order import make_due_ready, take_ready
from kilo_messaging.storage.sql.tables import (
    claims,
    message_of,
    message_row,
    messages,
    topic_of,
)
from kilo_messaging.storage.sql.topics import again_if_raced, ensure_topic, find_topic

_c = messages.c
_HOLD = Prepared(
    messages.update()
    .where(_c.seq.in_(sa.bindparam("positions", expanding=True)))
    .values(
        state=int(State.CLAIMED),
        claim_id=sa.bindparam("claim"),
        visible_at=sa.bindparam("until"),
        claim_count=_c.claim_count + 1,
    )
)
_LENGTHEN = Prepared(
    messages.update()
    .where(_c.seq == sa.bindparam("position"))
    .values(expires_at=sa.bindparam("until"), ttl=sa.bindparam("seconds"))
)
_INSERT = Prepared(
    claims.insert().values({column.name: sa.bindparam(column.name) for column in claims.c})
)


class SqlClaims(ClaimStore):
    """Claims in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, key: TopicKey, claim: Claim, limit: int) -> list[Message]:
        def work(connection: sa.Connection) -> list[Message]:
            row = find_topic(connection, key)
            if row is None:
                return []
            free = _take(connection, row.id, topic_of(row), limit, claim)
            if not free:
                return []
            held = [
                message.claimed(claim.id, claim.expires_at, claim.messages_live_until)
                for message in free
            ]
            _hold(connection, free, held, claim)
            _INSERT.run(connection, _claim_row(claim, row.id))
            return held

        return when_free(lambda: again_if_raced(lambda: self._database.write(work)))

    def get(
        self, key: TopicKey, claim_id: str, now: datetime
    ) -> tuple[Claim, list[Message]] | None:
        def work(connection: sa.Connection) -> tuple[Claim, list[Message]] | None:
            claim = _find_live(connection, key, claim_id, now)
            if claim is None:
                return None
            return claim, _held_by(connection, claim_id, now)

        return self._database.read(work)

    def update(self, key: TopicKey, claim_id: str, ttl: int, grace: int, now: datetime) -> bool:
        def work(connection: sa.Connection) -> bool:
            claim = _find_live(connection, key, claim_id, now, lock=True)
            if claim is None:
                return False
            renewed = claim.renewed(ttl, grace, now)
            before = _held_by(connection, claim_id, now, lock=True)
            connection.execute(
                messages.update()
                .where(_c.seq.in_([message.position for message in before]))
                .values(visible_at=renewed.expires_at)
            )
            after = [message.living_until(renewed.messages_live_until) for message in before]
            _lengthen(connection, before, after)
            connection.execute(
                claims.update()
                .where(claims.c.id == claim_id)
                .values(ttl=ttl, grace=grace, created_at=now, expires_at=renewed.expires_at)
            )
            return True

        return self._database.write(work)

    def release(self, key: TopicKey, claim_id: str, now: datetime) -> None:
        def work(connection: sa.Connection) -> None:
            if _find_live(connection, key, claim_id, now, lock=True) is None:
                return
            topic_id = find_topic(connection, key).id
            held = sa.select(_c.lane).where(_c.claim_id == claim_id)
            names = lock_lanes(connection, topic_id, held)
            connection.execute(
                messages.update()
                .where(_c.claim_id == claim_id)
                .values(state=int(State.READY), claim_id=None, visible_at=now)
            )
            wake_lanes(connection, topic_id, names, now)
            connection.execute(claims.delete().where(claims.c.id == claim_id))

        self._database.write(work)


def put_messages(
    connection: sa.Connection,
    key: TopicKey,
    found: Sequence[Message],
    held_by: Sequence[Claim],
    now: datetime,
) -> None:
    """Add messages as they are, with the claims that hold some of them; see `MessageStore.put`."""
    row = ensure_topic(connection, key, now)
    topic = topic_of(row)
    ids = [message.id for message in found]
    there = sa.select(_c.id).where(_c.id.in_(ids), _c.topic_id == row.id)
    present = set(connection.execute(there).scalars())
    rows = [
        message_row(message, row.id, topic.lane(message.group))
        for message in found
        if message.id not in present
    ]
    insert_rows(connection, rows, now)
    names = [claim.id for claim in held_by]
    known = set(connection.execute(sa.select(claims.c.id).where(claims.c.id.in_(names))).scalars())
    new = [_claim_row(claim, row.id) for claim in held_by if claim.id not in known]
    if new:
        connection.execute(claims.insert(), new)


def _take(
    connection: sa.Connection, topic_id: int, topic: Topic, limit: int, claim: Claim
) -> list[Message]:
    """Up to `limit` messages that the claim may have; what was claimed too often is moved away."""
    now = claim.created_at
    if topic.ordering is Ordering.NONE:
        make_due_ready(connection, topic_id, now)
        return _take_living(connection, topic_id, topic, limit, now)
    reader = LaneReader(connection, topic_id, now, claim.expires_at)
    return reader.take(limit, topic.is_dead, lambda dead: _bury(connection, topic, dead, now))


def _take_living(
    connection: sa.Connection, topic_id: int, topic: Topic, limit: int, now: datetime
) -> list[Message]:
    """Up to `limit` ready messages; those that were claimed too often are moved away on the way."""
    living: list[Message] = []
    while len(living) < limit:
        known = {message.position for message in living}
        rows = take_ready(connection, topic_id, limit, now, priorities=topic.has_priorities)
        found = [message_of(row) for row in rows if row.seq not in known]
        dead = [message for message in found if topic.is_dead(message.claim_count)]
        living += [message for message in found if not topic.is_dead(message.claim_count)]
        if not dead:
            break
        _bury(connection, topic, dead, now)
    return living[:limit]


def _bury(connection: sa.Connection, topic: Topic, dead: Sequence[Message], now: datetime) -> None:
    """Move messages to the topic's dead letters, where they are the newest."""
    place = topic.dead_letters
    if place is None:
        return
    target = ensure_topic(connection, place, now)
    connection.execute(messages.delete().where(_c.seq.in_([each.position for each in dead])))
    letters = [each.dead(now, topic.dead_letter_ttl, topic.key.name) for each in dead]
    lane_of = topic_of(target).lane
    rows = [message_row(each, target.id, lane_of(each.group)) for each in letters]
    insert_rows(connection, rows, now)


def _hold(
    connection: sa.Connection, free: Sequence[Message], held: Sequence[Message], claim: Claim
) -> None:
    positions = [message.position for message in free]
    held_by = {"positions": positions, "claim": claim.id, "until": claim.expires_at}
    _HOLD.run(connection, held_by)
    _lengthen(connection, free, held)


def _lengthen(
    connection: sa.Connection, before: Sequence[Message], after: Sequence[Message]
) -> None:
    """Write down which messages live longer than they did."""
    longer = [
        {"position": new.position, "until": new.expires_at, "seconds": new.ttl}
        for old, new in zip(before, after, strict=True)
        if new.expires_at != old.expires_at
    ]
    if longer:
        _LENGTHEN.run_many(connection, longer)


def _find_live(
    connection: sa.Connection, key: TopicKey, claim_id: str, now: datetime, *, lock: bool = False
) -> Claim | None:
    topic = find_topic(connection, key)
    if topic is None:
        return None
    query = sa.select(claims).where(
        claims.c.id == claim_id, claims.c.topic_id == topic.id, claims.c.expires_at > now
    )
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        return None
    return Claim(id=row.id, ttl=row.ttl, grace=row.grace, created_at=row.created_at)


def _held_by(
    connection: sa.Connection, claim_id: str, now: datetime, *, lock: bool = False
) -> list[Message]:
    query = (
        sa.select(messages)
        .where(_c.claim_id == claim_id, _c.visible_at > now, _c.expires_at > now)
        .order_by(_c.seq)
    )
    rows = connection.execute(query.with_for_update() if lock else query)
    return [message_of(row) for row in rows]


def _claim_row(claim: Claim, topic_id: int) -> dict[str, Any]:
    return {
        "id": claim.id,
        "topic_id": topic_id,
        "ttl": claim.ttl,
        "grace": claim.grace,
        "created_at": claim.created_at,
        "expires_at": claim.expires_at,
    }
