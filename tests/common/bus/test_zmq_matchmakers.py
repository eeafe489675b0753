"""The matchmakers against their contract, and what is each one's own."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contracts.matchmaker import MatchmakerContract
from kilo_common.bus.errors import BusUnavailable
from kilo_common.bus.target import Target
from kilo_common.bus.url import BusUrlInvalid
from kilo_common.bus.zmq_transport.matchmaking.base import Matchmaker, Record, Role, place_of
from kilo_common.bus.zmq_transport.matchmaking.memory import MemoryMatchmaker
from kilo_common.bus.zmq_transport.matchmaking.redis import RedisMatchmaker
from kilo_common.bus.zmq_transport.matchmaking.sql.matchmaker import SqlMatchmaker
from kilo_common.bus.zmq_transport.matchmaking.static import StaticMatchmaker
from kilo_common.testing.clock import FakeClock


class TestMemory(MatchmakerContract):
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def let_pass(self, clock: FakeClock) -> Callable[[float], None]:
        return clock.advance

    @pytest.fixture
    def matchmaker(self, clock: FakeClock) -> MemoryMatchmaker:
        return MemoryMatchmaker(clock=clock)

    @pytest.fixture
    def other(self, matchmaker: MemoryMatchmaker) -> MemoryMatchmaker:
        return matchmaker


class OnSql(MatchmakerContract):
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def let_pass(self, clock: FakeClock) -> Callable[[float], None]:
        return clock.advance

    @pytest.fixture
    def matchmaker(
        self, url: str, clock: FakeClock, executor: ThreadPoolExecutor
    ) -> Iterator[Matchmaker]:
        yield from opened(SqlMatchmaker({"matchmaker_url": url}, clock, executor))

    @pytest.fixture
    def other(self, matchmaker: Matchmaker, url: str, clock: FakeClock) -> Iterator[Matchmaker]:
        yield from opened(SqlMatchmaker({"matchmaker_url": url}, clock))


class TestSqlite(OnSql):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/matchmaker.db"


@pytest.mark.services
class TestSqlServers(OnSql):
    @pytest.fixture
    def url(self, service_url: str) -> str:
        return service_url


@pytest.mark.services
class TestRedis(MatchmakerContract):
    @pytest.fixture
    def let_pass(self) -> Callable[[float], None]:
        return time.sleep  # the server's clock is not ours to set

    @pytest.fixture
    def matchmaker(self, redis_url: str) -> Iterator[Matchmaker]:
        yield from opened(RedisMatchmaker({"matchmaker_url": redis_url}))

    @pytest.fixture
    def other(self, matchmaker: Matchmaker, redis_url: str) -> Iterator[Matchmaker]:
        yield from opened(RedisMatchmaker({"matchmaker_url": redis_url}))


def opened(matchmaker: Matchmaker) -> Iterator[Matchmaker]:
    matchmaker.start()
    yield matchmaker
    matchmaker.close()


def test_nodes_that_start_together_make_one_table(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/together.db"
    matchmakers = [SqlMatchmaker({"matchmaker_url": url}) for _number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: each.start(), matchmakers))
    for each in matchmakers:
        each.close()


def test_a_redis_that_is_not_there_is_said_so() -> None:
    with pytest.raises(BusUnavailable, match="does not answer"):
        RedisMatchmaker({"matchmaker_url": "redis://127.0.0.1:1/0"}).start()


@pytest.mark.parametrize("kind", [SqlMatchmaker, RedisMatchmaker])
def test_a_matchmaker_with_a_server_needs_its_url(kind: type) -> None:
    with pytest.raises(BusUrlInvalid, match="matchmaker_url"):
        kind({})


def test_the_static_one_names_every_peer_for_every_place() -> None:
    matchmaker = StaticMatchmaker({"peers": "127.0.0.1:16001, [::1]:16002"})
    matchmaker.start()
    place = place_of(Target("any").topic_address)
    assert matchmaker.lookup(place) == (
        Record(Role.PEER, place, "", "", "tcp://127.0.0.1:16001"),
        Record(Role.PEER, place, "", "", "tcp://[::1]:16002"),
    )


def test_a_file_may_say_which_topics_a_peer_has_to_do_with(tmp_path: Path) -> None:
    file = tmp_path / "peers.toml"
    file.write_text(
        '[[peer]]\nendpoint = "127.0.0.1:16001"\ntopics = ["catalog"]\n'
        '[[peer]]\nendpoint = "127.0.0.1:16002"\n'
    )
    matchmaker = StaticMatchmaker({"peers_file": str(file)})
    matchmaker.start()

    def ports(target: Target) -> list[str]:
        return [each.endpoint[-1] for each in matchmaker.lookup(place_of(target.address))]

    assert ports(Target("catalog")) == ["1", "2"]
    assert ports(Target("catalog", server="one")) == ["1", "2"]
    assert ports(Target("catalogue")) == ["2"]


@pytest.mark.parametrize(
    "text",
    [
        "not toml",
        "x = 1",
        "[[peer]]\nendpoint = 'nowhere'",
        "[[peer]]\nendpoint = '127.0.0.1:16001'\ntopics = 'catalog'",
        "[[peer]]\nendpoint = '127.0.0.1:16001'\nother = 1",
        "peer = [1]",
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "peers.toml"
    file.write_text(text)
    with pytest.raises(BusUrlInvalid):
        StaticMatchmaker({"peers_file": str(file)}).start()


@pytest.mark.parametrize("options", [{}, {"peers": "127.0.0.1"}, {"peers_file": "/nowhere"}])
def test_a_static_one_needs_peers(options: dict[str, str]) -> None:
    with pytest.raises(BusUrlInvalid):
        StaticMatchmaker(options).start()
