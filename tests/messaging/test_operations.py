"""Operations across the layers: policy, dead letters, defaults, and the sweep."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from kilo_common.context import RequestContext
from kilo_common.policy import Policy, PolicyForbids
from kilo_common.runtime import Runtime
from kilo_common.testing.clock import FakeClock
from kilo_messaging.config import LimitSettings
from kilo_messaging.domain.message import State
from kilo_messaging.policy import DEFAULTS
from kilo_messaging.service.desk import Desk
from kilo_messaging.service.messages import Draft
from kilo_messaging.service.sweeper import Sweeper
from kilo_messaging.service.topics import TopicOperations
from kilo_messaging.storage.memory.store import open_memory_store
from kilo_messaging.storage.sql import tables
from kilo_messaging.storage.sql.lanes import DUE_LANES, IN_LANE
from kilo_messaging.storage.sql.order import ANY_DUE, DUE, NOT_URGENT, READY, URGENT
from kilo_messaging.wiring import MessagingApi


def post(api: MessagingApi, context: RequestContext, topic: str, **draft: int) -> None:
    api.operations.messages.post(context, topic, [Draft(b"1", **draft)], client_id="me", size=1)


def test_a_policy_can_close_an_operation(runtime: Runtime, context: RequestContext) -> None:
    policy = Policy(DEFAULTS, {"queues:create": "role:admin"})
    desk = Desk(open_memory_store(), policy, LimitSettings(), runtime.clock, runtime.new_id)
    with pytest.raises(PolicyForbids):
        TopicOperations(desk).create(context, "q", {})
    admin = RequestContext(project_id="demo", roles=("admin",))
    assert TopicOperations(desk).create(admin, "q", {}) is True


def test_a_topic_sets_the_life_and_the_delay_of_its_messages(
    api: MessagingApi, context: RequestContext, clock: FakeClock
) -> None:
    do = api.operations
    do.topics.create(context, "q", {"_default_message_ttl": 90, "_default_message_delay": 30})
    post(api, context, "q")
    assert do.messages.page(context, "q", client_id="other") == []
    clock.advance(30)
    (message,) = do.messages.page(context, "q", client_id="other")
    assert message.ttl == 90
    clock.advance(60)
    assert do.messages.page(context, "q", client_id="other") == []


def test_a_message_that_nobody_can_digest_ends_among_the_dead_letters(
    api: MessagingApi, context: RequestContext, clock: FakeClock
) -> None:
    do = api.operations
    do.topics.create(context, "q", {"_max_claim_count": 2, "_dead_letter_queue": "dead"})
    post(api, context, "q")
    for _attempt in range(2):
        assert do.claims.create(context, "q", ttl=60) is not None
        clock.advance(60)
    assert do.claims.create(context, "q") is None
    assert len(do.messages.page(context, "dead", client_id="other")) == 1
    assert do.messages.redrive(context, "dead") == 1
    assert do.claims.create(context, "q") is not None


def test_the_sweeper_empties_what_expired(
    sql_api: MessagingApi, context: RequestContext, clock: FakeClock
) -> None:
    for _ in range(3):
        post(sql_api, context, "q", ttl=60)
    sql_api.operations.claims.create(context, "q", ttl=60, limit=1)
    clock.advance(3600)
    stores = sql_api.operations.desk.stores
    assert stores.deliveries is not None
    sweeper = Sweeper(
        stores.messages,
        clock,
        interval=1.0,
        key_window=86400,
        deliveries=stores.deliveries,
        log_retention=86400,
    )
    assert sweeper.sweep() == 4
    assert sql_api.database is not None
    count = sa.select(sa.func.count()).select_from(tables.messages)
    assert sql_api.database.read(lambda connection: connection.scalar(count)) == 0


def test_the_migrations_make_the_tables_that_the_store_uses(sql_api: MessagingApi) -> None:
    assert sql_api.database is not None

    def shape(connection: sa.Connection) -> dict[str, tuple[set[str], set[str]]]:
        inspector = sa.inspect(connection)
        return {
            table: (
                {column["name"] for column in inspector.get_columns(table)},
                {str(index["name"]) for index in inspector.get_indexes(table)},
            )
            for table in inspector.get_table_names()
            if table in tables.metadata.tables
        }

    expected = {
        name: (
            {column.name for column in table.columns},
            {str(index.name) for index in table.indexes},
        )
        for name, table in tables.metadata.tables.items()
    }
    assert sql_api.database.read(shape) == expected


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (READY.statement, "messages_ready"),
        (DUE[State.CLAIMED].statement, "messages_due"),
        (DUE[State.DELAYED].statement, "messages_due"),
        (ANY_DUE[State.CLAIMED].statement, "messages_due"),
        (
            sa.select(tables.messages.c.id).where(tables.messages.c.claim_id == "x"),
            "messages_claim",
        ),
        (
            sa.select(tables.messages.c.seq).where(tables.messages.c.expires_at <= 5).limit(9),
            "messages_expiry",
        ),
        (IN_LANE, "messages_lane"),
        (URGENT.statement, "messages_priority"),
        (NOT_URGENT.statement, "messages_ready"),
        (DUE_LANES, "lanes_due"),
    ],
    ids=[
        "ready",
        "due claims",
        "due delays",
        "any due",
        "claim",
        "expiry",
        "in lane",
        "urgent",
        "not urgent",
        "lanes",
    ],
)
def test_finding_messages_uses_the_index_made_for_it(
    sql_api: MessagingApi, query: sa.Select[Any], index: str
) -> None:
    assert sql_api.database is not None
    compiled = query.compile(dialect=sqlite.dialect())
    values = tuple(5 for _name in compiled.positiontup or ())

    def explain(connection: sa.Connection) -> str:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values)
        return " ".join(str(row.detail) for row in rows)

    plan = sql_api.database.read(explain)
    assert index in plan
    assert "TEMP B-TREE" not in plan
