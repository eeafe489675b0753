"""Messages in SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from kilo_common.db.database import ConstraintViolated, Database
from kilo_common.db.prepared import Prepared
from kilo_common.errors import KiloError
from kilo_messaging.domain.claim import Claim
from kilo_messaging.domain.message import Message, State, check_deletable
from kilo_messaging.domain.topic import Ordering, TopicKey
from kilo_messaging.storage.base import (
    WINDOW,
    Found,
    MessageStore,
    Outcome,
    Page,
    Post,
    Posted,
    Prepare,
    Stats,
)
from kilo_messaging.storage.sql.bulk import purge, redrive, remove
from kilo_messaging.storage.sql.claims import put_messages
from kilo_messaging.storage.sql.inserts import insert_posts
from kilo_messaging.storage.sql.lanes import LaneReader, lock_lanes, wake_lanes, when_free
from kilo_messaging.storage.sql.order import any_due, make_due_ready, take_ready
from kilo_messaging.storage.sql.post_line import PostLine
from kilo_messaging.storage.sql.sweep import sweep
from kilo_messaging.storage.sql.tables import (
    claims,
    message_of,
    messages,
    of_topic,
    topic_of,
)
from kilo_messaging.storage.sql.topics import again_if_raced, find_topic

ATTEMPTS = 4
_c = messages.c


def _in_any_state(query: sa.Select[Any], *, oldest_first: bool) -> sa.Select[Any]:
    """`query` over the messages of one topic, led by the index through each state's own stretch.

    It is one statement, so that no message slips through by changing its state meanwhile.
    """
    order = _c.seq.asc() if oldest_first else _c.seq.desc()
    stretches = (
        query.where(
            _c.topic_id == sa.bindparam("topic"), _c.state == sa.literal_column(str(int(state)))
        )
        .order_by(order)
        .limit(sa.bindparam("limit") if oldest_first else 1)
        .subquery(f"in_state_{int(state)}")
        for state in State
    )
    together = sa.union_all(*(sa.select(each) for each in stretches)).subquery("together")
    return sa.select(together) if oldest_first else sa.select(sa.func.max(together.c.seq))


_BEHIND = Prepared(
    _in_any_state(
        sa.select(messages).where(
            _c.seq > sa.bindparam("after"), _c.expires_at > sa.bindparam("now")
        ),
        oldest_first=True,
    )
)
_NEWEST = _in_any_state(sa.select(_c.seq), oldest_first=False)


def _page(state: State, *which: sa.ColumnElement[bool]) -> Prepared:
    """A page of messages in one state."""
    query = sa.select(messages).where(
        _c.topic_id == sa.bindparam("topic"),
        _c.state == int(state),
        _c.seq > sa.bindparam("after"),
        _c.expires_at > sa.bindparam("now"),
        *which,
    )
    return Prepared(query.order_by(_c.seq).limit(sa.bindparam("limit")))


_PAGE = {state: _page(state) for state in State}
_PAGE_OF_OTHERS = {state: _page(state, _c.client_id != sa.bindparam("client")) for state in State}
_BY_IDS = (_c.id.in_(sa.bindparam("ids", expanding=True)), of_topic())
_LIVE = Prepared(
    sa.select(claims.c.id).where(
        claims.c.id == sa.bindparam("claim"),
        claims.c.topic_id == sa.bindparam("topic"),
        claims.c.expires_at > sa.bindparam("now"),
    )
)
_GET = Prepared(
    sa.select(messages).where(*_BY_IDS, _c.expires_at > sa.bindparam("now")).order_by(_c.seq)
)
_BY_ID = (_c.id == sa.bindparam("id"), of_topic(), _c.expires_at > sa.bindparam("now"))
_GET_LOCKED = Prepared(sa.select(messages).where(*_BY_ID).with_for_update())
_DELETE_AT = Prepared(messages.delete().where(_c.seq == sa.bindparam("position")))
_DELETE = Prepared(messages.delete().where(*_BY_IDS))


class SqlMessages(MessageStore):
    """Messages in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._line = PostLine(self._post_all)

    def post(
        self,
        key: TopicKey,
        prepare: Prepare,
        now: datetime,
        *,
        once: str | None = None,
        window: timedelta = WINDOW,
    ) -> Posted | None:
        (outcome,) = self._line.post([Post(key, prepare, now, once, window)])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def post_all(self, posts: Sequence[Post]) -> list[Outcome]:
        return self._line.post(posts)

    def _post_all(self, posts: Sequence[Post]) -> list[Outcome]:
        try:
            return self._database.write(lambda connection: insert_posts(connection, posts))
        except ConstraintViolated:
            # Another process made one of the topics, or used one of the keys, at the same time.
            # What it committed can be seen now; one by one, nobody suffers for another.
            return [self._post_alone(post) for post in posts]

    def _post_alone(self, post: Post) -> Outcome:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._database.write(lambda connection: insert_posts(connection, [post]))[0]
            except ConstraintViolated as fault:
                if attempt == ATTEMPTS:
                    return fault
            except KiloError as fault:
                return fault
        raise AssertionError("unreachable")

    def put(
        self, key: TopicKey, messages: Sequence[Message], claims: Sequence[Claim], now: datetime
    ) -> None:
        again_if_raced(
            lambda: self._database.write(
                lambda connection: put_messages(connection, key, messages, claims, now)
            )
        )

    def page(self, key: TopicKey, page: Page, now: datetime) -> list[Message]:
        def work(connection: sa.Connection) -> list[Message] | None:
            topic = find_topic(connection, key)
            if topic is None:
                return []
            if any_due(connection, topic.id, now):
                return None
            found = [
                message_of(row)
                for state in _states(page)
                for row in _stretch(connection, topic.id, state, page, now)
            ]
            return sorted(found, key=lambda message: message.position)[: page.limit]

        def note_due(connection: sa.Connection) -> None:
            topic = find_topic(connection, key)
            if topic is not None:
                make_due_ready(connection, topic.id, now)

        while (found := self._database.read(work)) is None:
            self._database.write(note_due)
        return found

    def follow(self, key: TopicKey, after: int | None, limit: int, now: datetime) -> Found:
        def work(connection: sa.Connection) -> Found:
            topic = find_topic(connection, key)
            if topic is None:
                return Found(None, after or 0, [])
            if after is None:
                newest = connection.scalar(_NEWEST, {"topic": topic.id}) or 0
                return Found(topic.created_at, newest, [])
            parameters = {"topic": topic.id, "after": after, "now": now, "limit": limit}
            rows = _BEHIND.rows(connection, parameters)
            found = sorted(map(message_of, rows), key=lambda message: message.position)[:limit]
            return Found(topic.created_at, found[-1].position if found else after, found)

        return self._database.read(work)

    def get(self, key: TopicKey, ids: Sequence[str], now: datetime) -> list[Message]:
        def work(connection: sa.Connection) -> list[Message]:
            topic = find_topic(connection, key)
            if topic is None:
                return []
            wanted = {"ids": ids, "topic": topic.id, "now": now}
            return [message_of(row) for row in _GET.rows(connection, wanted)]

        return self._database.read(work)

    def delete(self, key: TopicKey, message_id: str, claim_id: str | None, now: datetime) -> None:
        def work(connection: sa.Connection) -> None:
            topic = find_topic(connection, key)
            if topic is None:
                return
            one = {"id": message_id, "topic": topic.id, "now": now}
            names = _lanes_of(connection, topic, _BY_ID, one)
            row = _GET_LOCKED.first(connection, one)
            if row is None:
                return
            live = claim_id is not None and _claim_is_live(connection, topic.id, claim_id, now)
            check_deletable(message_of(row), claim_id, claim_is_live=live, now=now)
            _DELETE_AT.run(connection, {"position": row.seq})
            wake_lanes(connection, topic.id, names, now)

        self._database.write(work)

    def delete_many(self, key: TopicKey, ids: Sequence[str], now: datetime) -> None:
        def work(connection: sa.Connection) -> None:
            topic = find_topic(connection, key)
            if topic is None:
                return
            those = {"ids": ids, "topic": topic.id}
            names = _lanes_of(connection, topic, _BY_IDS, those)
            _DELETE.run(connection, those)
            wake_lanes(connection, topic.id, names, now)

        self._database.write(work)

    def pop(self, key: TopicKey, limit: int, now: datetime) -> list[Message]:
        def work(connection: sa.Connection) -> list[Message]:
            topic = find_topic(connection, key)
            if topic is None:
                return []
            value = topic_of(topic)
            if value.ordering is Ordering.NONE:
                make_due_ready(connection, topic.id, now)
                rows = take_ready(connection, topic.id, limit, now, priorities=value.has_priorities)
                found = [message_of(row) for row in rows]
            else:
                reader = LaneReader(connection, topic.id, now, None)
                found = reader.take(limit, lambda _claims: False, lambda _dead: None)
            remove(connection, [message.position for message in found])
            return found

        return when_free(lambda: self._database.write(work))

    def purge(self, key: TopicKey, now: datetime) -> None:
        purge(self._database, key, now)

    def redrive(self, key: TopicKey, now: datetime) -> dict[TopicKey, int]:
        return redrive(self._database, key, now)

    def stats(self, key: TopicKey, now: datetime) -> Stats:
        def work(connection: sa.Connection) -> Stats:
            topic = find_topic(connection, key)
            return Stats() if topic is None else _stats(connection, topic.id, now)

        return self._database.read(work)

    def sweep(self, now: datetime, limit: int, forget_keys: datetime) -> int:
        return self._database.write(lambda connection: sweep(connection, now, limit, forget_keys))


def _states(page: Page) -> list[State]:
    states = [State.READY]
    if page.claimed:
        states.append(State.CLAIMED)
    if page.delayed:
        states.append(State.DELAYED)
    return states


def _stretch(
    connection: sa.Connection, topic_id: int, state: State, page: Page, now: datetime
) -> Sequence[Any]:
    wanted = {"topic": topic_id, "after": page.after, "now": now, "limit": page.limit}
    if page.not_from is None:
        return _PAGE[state].rows(connection, wanted)
    return _PAGE_OF_OTHERS[state].rows(connection, wanted | {"client": page.not_from})


def _claim_is_live(connection: sa.Connection, topic_id: int, claim_id: str, now: datetime) -> bool:
    wanted = {"claim": claim_id, "topic": topic_id, "now": now}
    return _LIVE.first(connection, wanted) is not None


def _lanes_of(
    connection: sa.Connection,
    topic: Any,
    which: Sequence[sa.ColumnElement[bool]],
    parameters: Mapping[str, Any],
) -> list[str]:
    """Lock the lanes of some messages; their names. On a topic without order there are none."""
    if topic_of(topic).ordering is Ordering.NONE:
        return []
    return lock_lanes(connection, topic.id, sa.select(_c.lane).where(*which).params(parameters))


def _stats(connection: sa.Connection, topic_id: int, now: datetime) -> Stats:
    alive = (_c.topic_id == topic_id, _c.expires_at > now)
    held = sa.and_(_c.state == int(State.CLAIMED), _c.visible_at > now)
    total = connection.scalar(sa.select(sa.func.count()).where(*alive)) or 0
    if not total:
        return Stats()
    claimed = connection.scalar(sa.select(sa.func.count()).where(*alive, held)) or 0

    def at_end(order: sa.ColumnElement[Any]) -> list[Message]:
        ends = (
            sa.select(messages).where(*alive, _c.state == int(state)).order_by(order).limit(1)
            for state in State
        )
        return [message_of(row) for query in ends for row in connection.execute(query)]

    return Stats(
        free=total - claimed,
        claimed=claimed,
        oldest=min(at_end(_c.seq.asc()), key=lambda message: message.position),
        newest=max(at_end(_c.seq.desc()), key=lambda message: message.position),
    )
