"""Claims and lists that wait: woken by a post, here or elsewhere, and gone when nobody posts."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from werkzeug.test import Client

from kilo_common.bus.memory import MemoryTransport
from kilo_common.bus.target import Address, Kind
from kilo_common.bus.transport import Capability
from kilo_common.context import RequestContext
from kilo_messaging.domain.message import new_message
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.errors import LimitExceeded
from kilo_messaging.service.arrivals import LOOK_AGAIN, Arrivals, never
from kilo_messaging.service.messages import Draft
from kilo_messaging.service.push import PushHub
from kilo_messaging.wiring import MessagingApi

KEY = TopicKey("demo", "q")
ADDRESS = Address(Kind.FANOUT, "openstack", "messaging.push")


class SharedBus(MemoryTransport):
    """The bus in memory, as if several processes shared it."""

    capabilities = MemoryTransport.capabilities | {Capability.BETWEEN_PROCESSES}


def post(api: MessagingApi, context: RequestContext) -> None:
    api.operations.messages.post(context, "q", [Draft(b"1")], client_id="me", size=1)


@pytest.mark.parametrize("way", ["claim", "list"])
def test_who_waits_is_woken_by_a_post(
    sql_api: MessagingApi, context: RequestContext, way: str
) -> None:
    do = sql_api.operations
    waits: dict[str, Callable[[], object]] = {
        "claim": lambda: do.claims.create(context, "q", wait=20),
        "list": lambda: do.messages.page(context, "q", client_id="other", wait=20),
    }
    began = time.monotonic()
    with ThreadPoolExecutor(1) as consumer:
        waiting = consumer.submit(waits[way])
        post(sql_api, context)
        assert waiting.result(10)
    assert time.monotonic() - began < 5


def test_nothing_comes_and_the_wait_ends(http: Client) -> None:
    began = time.monotonic()
    assert http.post("/v2/topics/q/claims?wait=1").status_code == 204
    assert http.get("/v2/topics/q/messages?wait=1").json == {"messages": [], "links": []}
    assert 2 <= time.monotonic() - began < 6


@pytest.mark.parametrize("wait", ["-1", "21", "soon", ""])
def test_nobody_waits_for_ever(http: Client, wait: str) -> None:
    assert http.post(f"/v2/topics/q/claims?wait={wait}").status_code == 400
    assert http.get(f"/v2/topics/q/messages?wait={wait}").status_code == 400


def test_a_wait_that_nobody_could_wait_is_refused(
    api: MessagingApi, context: RequestContext
) -> None:
    with pytest.raises(LimitExceeded):
        api.operations.claims.create(context, "q", wait=21)


def test_a_post_in_another_process_wakes_too() -> None:
    bus = SharedBus()
    bus.start()
    here, elsewhere = (PushHub(bus, ADDRESS, name) for name in ("here", "elsewhere"))
    here.start()
    elsewhere.start()
    message = new_message(
        message_id="m",
        body=b"1",
        ttl=60,
        delay=0,
        client_id="me",
        now=datetime(2026, 1, 1, tzinfo=UTC),
    )
    looks: list[int] = []

    def look() -> list[int] | None:
        looks.append(1)
        if len(looks) == 2:
            elsewhere.announce(KEY, [message])
        return looks if len(looks) == 3 else None

    began = time.monotonic()
    assert here.arrivals.first(KEY, look, 20, never)
    assert time.monotonic() - began < LOOK_AGAIN
    here.stop(5.0)
    elsewhere.stop(5.0)
    bus.stop(1.0)


def test_who_waits_goes_when_the_server_ends() -> None:
    looks: list[int] = []

    def look() -> None:
        looks.append(1)

    assert Arrivals().first(KEY, look, 20, lambda: True) is None
    assert len(looks) == 1
