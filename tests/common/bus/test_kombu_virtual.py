"""Stores in the place of a broker, against the contract for what they promise."""

import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from contracts.transport import Inbox, TransportContract
from kilo_common.bus.connect import open_transport
from kilo_common.bus.errors import BusUnavailable
from kilo_common.bus.target import Target
from kilo_common.bus.transport import Transport
from kilo_common.bus.url import BusUrlInvalid

DATABASE = 9


@pytest.fixture
def redis_url(require_server: Callable[[int, str], None]) -> Iterator[str]:
    """A corner of a Redis that is swept afterwards."""
    require_server(6379, "Redis")
    prefix = f"kilo-{uuid.uuid4().hex}-"
    yield f"redis://127.0.0.1:6379/{DATABASE}?prefix={prefix}"
    with redis.Redis(port=6379, db=DATABASE) as client:
        for key in client.scan_iter(f"{prefix}*"):
            client.delete(key)


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # kombu's tables use it
class TestVirtualTransport(TransportContract):
    @pytest.fixture
    def let_pass(self) -> Callable[[float], None]:
        return time.sleep  # expiry goes by the clocks of several machines

    @pytest.fixture(
        params=["filesystem", "sqlalchemy", pytest.param("redis", marks=pytest.mark.services)]
    )
    def transport(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Transport]:
        if request.param == "redis":
            url = request.getfixturevalue("redis_url")
        elif request.param == "filesystem":
            url = f"filesystem://{tmp_path}"
        else:
            url = f"sqlalchemy+sqlite:///{tmp_path}/bus.db"
        transport = open_transport(url)
        transport.start()
        yield transport
        transport.stop(10)


@pytest.mark.services
def test_what_a_stopped_consumer_had_in_hand_is_given_out_again(redis_url: str) -> None:
    target = Target("virtual")
    inbox = Inbox()
    first, second = open_transport(redis_url), open_transport(redis_url)
    first.consume(target.topic_address, inbox)
    first.publish(target.topic_address, b"unfinished")
    inbox.next()
    first.stop(5)
    second.consume(target.topic_address, inbox)
    assert inbox.bodies(1) == [b"unfinished"]
    second.stop(5)


def test_a_store_that_is_not_there_is_said_so() -> None:
    transport = open_transport("redis://127.0.0.1:1/0")
    began = time.monotonic()
    with pytest.raises(BusUnavailable) as caught:
        transport.publish(Target("nowhere").topic_address, b"{}", timeout=1.0)
    assert not caught.value.may_have_been_published
    assert time.monotonic() - began < 1.5
    with pytest.raises(BusUnavailable):
        transport.start()
    transport.stop(1)


def test_what_waits_for_a_store_that_hangs_is_not_published_after_its_time_out() -> None:
    """Greeted by nobody: a socket that listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        transport = open_transport(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        with pytest.raises(BusUnavailable, match="nothing was published") as caught:
            transport.publish(Target("nowhere").topic_address, b"{}", timeout=0.3)
    assert not caught.value.may_have_been_published
    transport.stop(0)


@pytest.mark.parametrize(
    "url", ["redis://h/0?prefx=a", "redis://h/0?visibility=long", "filesystem://relative"]
)
def test_a_bad_url_is_refused(url: str) -> None:
    with pytest.raises(BusUrlInvalid):
        open_transport(url)
