"""How much a project may ask for, and the clock that tests move."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from werkzeug.test import Client

from kilo_common.db.migrate import upgrade
from kilo_common.errors import ConfigInvalid
from kilo_common.runtime import Runtime
from kilo_common.settings import DatabaseSettings
from kilo_common.testing.clock import FakeClock
from kilo_messaging import wiring
from kilo_messaging.config import MessagingSettings, RateSettings
from kilo_messaging.errors import RateExceeded
from kilo_messaging.service.rates import ProjectRates
from kilo_messaging.storage.memory.store import open_memory_store
from kilo_messaging.wiring import MessagingApi

Make = Callable[[MessagingApi], Client]


def allowed(rates: ProjectRates, project: str, tries: int) -> int:
    count = 0
    for _try in range(tries):
        try:
            rates.take(project)
        except RateExceeded:
            continue
        count += 1
    return count


def test_a_burst_passes_and_then_the_rate_holds() -> None:
    clock = FakeClock()
    rates = ProjectRates(10.0, 5, clock)
    assert allowed(rates, "one", 20) == 5
    clock.advance(0.3)
    assert allowed(rates, "one", 20) == 3
    clock.advance(60)
    assert allowed(rates, "one", 20) == 5


def test_projects_do_not_use_up_each_others() -> None:
    rates = ProjectRates(10.0, 5, FakeClock())
    assert allowed(rates, "one", 9) == allowed(rates, "two", 9) == 5


def test_threads_at_once_get_no_more() -> None:
    rates = ProjectRates(10.0, 50, FakeClock())
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _n: allowed(rates, "one", 20), range(8))) == 50


def test_no_rate_is_no_limit() -> None:
    assert allowed(ProjectRates(0.0, 1, FakeClock()), "one", 1000) == 1000


def test_who_asks_too_often_is_told_when_to_come_again(
    runtime: Runtime, clock: FakeClock, make_client: Make
) -> None:
    settings = MessagingSettings(rate=RateSettings(requests=0.5, burst=2))
    http = make_client(wiring.build_over(open_memory_store(), settings, runtime))
    assert [http.get("/v2/topics").status_code for _try in range(3)] == [200, 200, 429]
    refused = http.get("/v2/topics")
    assert refused.headers["Retry-After"] == "2"
    assert refused.json["code"] == "messaging.rate_exceeded"
    assert http.get("/v2/ping").status_code == 204
    other = http.get("/v2/topics", headers={"X-Project-Id": "other"})
    assert other.status_code == 200
    clock.advance(2)
    assert http.get("/v2/topics").status_code == 200
    limits = json.loads(http.get("/v2/").data)["limits"]
    assert (limits["requests_per_second"], limits["requests_burst"]) == (0.5, 2)
    assert (limits["page"], limits["post"]) == (20, 262144)


@pytest.fixture
def shifted(runtime: Runtime, tmp_path: Path) -> Iterator[MessagingApi]:
    settings = MessagingSettings(
        database=DatabaseSettings(url=f"sqlite:///{tmp_path}/messaging.db"),
        durable=False,
        test_clock=True,
    )
    upgrade(settings.database, wiring.SCHEMA)
    made = wiring.build(settings, runtime)
    yield made
    made.close()


def test_moving_the_clock_ends_lives_claims_and_delays(
    shifted: MessagingApi, make_client: Make
) -> None:
    http = make_client(shifted)
    messages = [
        {"body": "brief", "ttl": 60},
        {"body": "lasting", "ttl": 7200},
        {"body": "late", "ttl": 7200, "delay": 600},
    ]
    http.post("/v2/topics/work/messages", json={"messages": messages})

    def claim() -> list[str]:
        answer = http.post("/v2/topics/work/claims?limit=9", json={"ttl": 300, "grace": 60})
        return [each["body"] for each in answer.json["messages"]] if answer.data else []

    before = http.get("/v2/_test/clock").json["now"]
    assert http.post("/v2/_test/clock", json={"advance": 60}).status_code == 200
    assert claim() == ["lasting"]
    assert claim() == []
    http.post("/v2/_test/clock", json={"advance": 300})
    assert claim() == ["lasting"]
    after = http.post("/v2/_test/clock", json={"advance": 300}).json["now"]
    assert claim() == ["lasting", "late"]
    assert before < after


@pytest.mark.parametrize("body", [{"advance": -1}, {"advance": 1e12}, {"advance": "x"}, {}, None])
def test_a_clock_goes_only_forwards(shifted: MessagingApi, make_client: Make, body: object) -> None:
    http = make_client(shifted)
    assert http.post("/v2/_test/clock", json=body).status_code == 400


def test_only_an_operator_moves_the_clock(shifted: MessagingApi, make_client: Make) -> None:
    http = make_client(shifted)
    refused = http.post("/v2/_test/clock", json={"advance": 1}, headers={"X-Roles": "member"})
    assert refused.status_code == 403


def test_without_a_test_nobody_moves_the_clock(http: Client) -> None:
    assert http.post("/v2/_test/clock", json={"advance": 1}).status_code == 404
    assert http.get("/v2/_test/clock").status_code == 404


def test_a_clock_for_tests_is_refused_where_messages_must_not_be_lost(runtime: Runtime) -> None:
    with pytest.raises(ConfigInvalid, match="ephemeral"):
        wiring.build_over(open_memory_store(), MessagingSettings(test_clock=True), runtime)
