"""Many consumers at once, some of which crash: nothing lost, nothing shared, groups in order."""

import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.consumers import Ledger, Plan, run
from support.messaging_server import serving_store
from support.redis_server import RedisServer

PLANS = [
    pytest.param(Plan(2000, ttl=1), id="none"),
    pytest.param(Plan(600, "fifo-group", groups=40, ttl=1), id="fifo-group"),
]


def consumed(databases: Sequence[str], plan: Plan) -> Ledger:
    """What came of it, with one server for each URL."""
    with ExitStack() as stack:
        servers = [
            stack.enter_context(serving_store(url, min_claim=1, max_wait=1)) for url in databases
        ]
        return run([f"http://127.0.0.1:{server.port}" for server in servers], plan)


def check(ledger: Ledger, plan: Plan) -> None:
    assert ledger.broken == []
    assert len(ledger.removed) == plan.messages
    assert ledger.claims["crashed"] > 0


@pytest.mark.parametrize("plan", PLANS)
def test_consumers_of_one_server(tmp_path: Path, plan: Plan) -> None:
    check(consumed([f"sqlite:///{tmp_path}/messaging.db"], plan), plan)


@pytest.mark.services
@pytest.mark.parametrize("plan", PLANS)
def test_consumers_of_two_servers_on_one_database(service_url: str, plan: Plan) -> None:
    check(consumed([service_url, service_url], plan), plan)


@pytest.mark.services
@pytest.mark.parametrize("plan", PLANS)
def test_consumers_of_two_servers_on_redis(durable_redis: RedisServer, plan: Plan) -> None:
    url = f"{durable_redis.url}?prefix={uuid.uuid4().hex}:"
    check(consumed([url, url], plan), plan)
