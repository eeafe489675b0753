"""What is the Redis store's own: what it asks of its server, and what survives the server's end."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from kilo_common.errors import ConfigInvalid, Unavailable
from kilo_common.settings import DatabaseSettings
from kilo_common.testing.clock import FakeClock
from kilo_messaging.domain.claim import Claim
from kilo_messaging.domain.message import new_message
from kilo_messaging.domain.pool import Pool
from kilo_messaging.domain.subscription import Subscription
from kilo_messaging.domain.subscription_options import read_options
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.storage.base import Page, Stores
from kilo_messaging.storage.memory.store import open_memory_store
from kilo_messaging.storage.pools.mover import TopicMover
from kilo_messaging.storage.pools.router import Router, RouterTimes
from kilo_messaging.storage.pools.stores import placing_stores
from kilo_messaging.storage.redis.durability import RedisVolatile, what_is_wrong
from kilo_messaging.storage.redis.keys import Keys, tag_of, topic_of_tag
from kilo_messaging.storage.redis.link import RedisLink
from kilo_messaging.storage.redis.records import micros
from kilo_messaging.storage.redis.store import open_redis_store
from kilo_messaging.storage.redis.url import is_redis, read_url
from support.redis_server import DURABLE, RedisServer, running

KEY = TopicKey("project", "topic")
NOW = datetime(2030, 1, 1, tzinfo=UTC)
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
SAFE = {"appendonly": "yes", "appendfsync": "always", "maxmemory": "0"}


def opened(url: str, *, durable: bool = True) -> Stores:
    return open_redis_store(DatabaseSettings(url=url, busy_timeout=5.0), durable=durable)


def post(stores: Stores, name: str, key: TopicKey = KEY, ttl: int = 3600) -> None:
    message = new_message(message_id=name, body=b'"x"', ttl=ttl, delay=0, client_id="me", now=NOW)
    stores.messages.post(key, lambda _topic: [message], NOW)


def subscribed(key: TopicKey) -> Subscription:
    return Subscription(
        id=SUBSCRIPTION,
        key=key,
        subscriber="http://hook.example/",
        ttl=36000,
        options=read_options({}),
        given={},
        created_at=NOW,
    )


@pytest.fixture
def server(require_redis_server: None, tmp_path: Path):
    with running(tmp_path / "redis", *DURABLE) as server:
        yield server


@pytest.mark.services
def test_what_was_acknowledged_survives_the_kill_of_the_server(server: RedisServer) -> None:
    acknowledged: list[str] = []
    enough = threading.Event()

    def keep_posting(poster: int) -> None:
        for number in count():
            name = f"{poster}-{number}"
            try:
                post(stores, name)
            except Unavailable:
                return
            acknowledged.append(name)
            if len(acknowledged) > 300:
                enough.set()

    with closing(opened(server.url)) as stores, ThreadPoolExecutor(8) as posters:
        stores.topics.create(KEY, {"colour": "red"}, NOW)
        kept_subscription = stores.subscriptions.create(subscribed(KEY), NOW)
        posting = [posters.submit(keep_posting, poster) for poster in range(8)]
        assert enough.wait(30)
        held = stores.claims.create(KEY, Claim(id="c", ttl=60, grace=60, created_at=NOW), 5)
        server.kill()
        for each in posting:
            each.result()
    server.start()
    with closing(opened(server.url)) as stores:
        page = Page(limit=100_000, claimed=True)
        kept = {message.id for message in stores.messages.page(KEY, page, NOW)}
        assert set(acknowledged) <= kept
        found = stores.claims.get(KEY, "c", NOW)
        assert found is not None
        assert [each.id for each in found[1]] == [each.id for each in held]
        topic = stores.topics.get(KEY)
        assert topic is not None
        assert topic.metadata == {"colour": "red"}
        assert stores.subscriptions.get(KEY, SUBSCRIPTION, NOW) == kept_subscription
        notices = stores.deliveries.pending(
            KEY, SUBSCRIPTION, failed=False, after=0, limit=100_000, now=NOW
        )
        assert set(acknowledged) <= {each.notice.message_id for each in notices}


@pytest.mark.services
def test_a_store_goes_on_when_its_server_is_back(server: RedisServer) -> None:
    with closing(opened(server.url)) as stores:
        post(stores, "one")
        server.kill()
        with pytest.raises(Unavailable):
            stores.check()
        server.start()
        post(stores, "two")
        assert len(stores.messages.page(KEY, Page(limit=9), NOW)) == 2


@pytest.mark.services
def test_where_memory_ends_posts_are_refused_whole_and_consumers_go_on(
    server: RedisServer,
) -> None:
    with closing(opened(server.url)) as stores:
        for number in range(20):
            post(stores, str(number))
        with server.client as admin:
            admin.config_set("maxmemory", "1mb")
            with pytest.raises(Unavailable):
                post(stores, "refused")
            claim = Claim(id="c", ttl=60, grace=60, created_at=NOW)
            held = stores.claims.create(KEY, claim, 20)
            assert [each.id for each in held] == [str(number) for number in range(20)]
            for each in held:
                stores.messages.delete(KEY, each.id, "c", NOW)
            admin.config_set("maxmemory", "0")
        assert stores.messages.stats(KEY, NOW).total == 0
        post(stores, "again")
        assert stores.messages.stats(KEY, NOW).total == 1


@pytest.mark.services
def test_letters_on_their_way_arrive_once_though_somebody_died_between(
    durable_redis: RedisServer,
) -> None:
    url = f"{durable_redis.url}?prefix=interrupted:"
    later = NOW + timedelta(seconds=61)
    dead = TopicKey("project", "dead")
    leaving = Keys("interrupted:").of_topic(KEY)[17]

    def letters() -> list[str]:
        return [each.id for each in stores.messages.page(dead, Page(limit=9), later)]

    def sweep(after: timedelta) -> None:
        for _round in range(3):
            stores.messages.sweep(later + after, 100, NOW)

    with closing(opened(url)) as stores, durable_redis.client as client:
        stores.topics.create(KEY, {"_max_claim_count": 1, "_dead_letter_queue": "dead"}, NOW)
        post(stores, "one", ttl=90_000)
        post(stores, "two", ttl=90_000)
        stores.claims.create(KEY, Claim(id="c", ttl=60, grace=60, created_at=NOW), 9)
        # This server call is all that a process did which died before the letters arrived.
        call = (micros(later), "d", 9, micros(later), micros(later), 60, 60)
        link = RedisLink(read_url(url), pool_size=1, timeout=5.0)
        link.run("claim", Keys("interrupted:").of_topic(KEY), *call)
        link.close()
        on_their_way = client.hgetall(leaving)
        assert (len(on_their_way), letters()) == (2, [])
        sweep(timedelta(hours=1))
        assert letters() == ["one", "two"]
        # Another died after they arrived, before it could note that.
        client.hset(leaving, mapping=on_their_way)
        sweep(timedelta(hours=2, minutes=1))
        assert letters() == ["one", "two"]
        assert client.hlen(leaving) == 0
        sweep(timedelta(hours=4))
        assert client.zcard(Keys("interrupted:").of_topic(dead)[18]) == 0


@pytest.mark.services
def test_letters_on_their_way_come_along_when_their_topic_moves(
    durable_redis: RedisServer,
) -> None:
    clock = FakeClock(NOW)
    main, beside = open_memory_store(), open_memory_store()
    with closing(opened(f"{durable_redis.url}?prefix=moving:")) as stores:
        main.placements.put_pool(Pool(name="red", uri="redis://", weight=1, ready=True))
        main.placements.put_pool(Pool(name="beside", uri="memory://", weight=0, ready=True))
        pools = {"red": stores, "beside": beside}
        router = Router(main, lambda pool: pools[pool.name], clock, times=RouterTimes(settle=0.0))
        rules = {"_max_claim_count": 1, "_dead_letter_queue": "dead"}
        placing_stores(router).topics.create(KEY, rules, NOW)
        post(stores, "one", ttl=90_000)
        stores.claims.create(KEY, Claim(id="c", ttl=60, grace=60, created_at=NOW), 9)
        clock.advance(61)
        # All that a process did which died before the letter arrived.
        later = micros(clock.now())
        link = RedisLink(read_url(f"{durable_redis.url}?prefix=moving:"), pool_size=1, timeout=5.0)
        link.run("claim", Keys("moving:").of_topic(KEY), later, "d", 9, later, later, 60, 60)
        link.close()
        assert TopicMover(router, clock).move(KEY, "beside").topics == ("dead", "topic")
        dead = TopicKey("project", "dead")
        letters = beside.messages.page(dead, Page(limit=9), clock.now())
        assert [each.id for each in letters] == ["one"]


@pytest.mark.services
def test_a_delivery_is_found_though_who_posted_it_died_before_planning_it(
    durable_redis: RedisServer,
) -> None:
    later = NOW + timedelta(minutes=10)
    with (
        closing(opened(f"{durable_redis.url}?prefix=unplanned:")) as stores,
        durable_redis.client as client,
    ):
        stores.subscriptions.create(subscribed(KEY), NOW)
        post(stores, "one", ttl=36000)
        client.delete(Keys("unplanned:").due)
        lease = later + timedelta(seconds=60)
        assert not stores.deliveries.claim(later, lease, limit=9, each=9)
        stores.deliveries.sweep(later, 100, NOW)
        (job,) = stores.deliveries.claim(later, lease, limit=9, each=9)
        assert job.deliveries[0].notice.message_id == "one"


def test_what_a_server_must_be_set_to() -> None:
    assert what_is_wrong(SAFE) == ""
    assert "appendonly" in what_is_wrong({**SAFE, "appendonly": "no"})
    assert "appendfsync" in what_is_wrong({**SAFE, "appendfsync": "everysec"})
    limited = {**SAFE, "maxmemory": "100000000"}
    assert "noeviction" in what_is_wrong({**limited, "maxmemory-policy": "allkeys-lru"})
    assert what_is_wrong({**limited, "maxmemory-policy": "noeviction"}) == ""


@pytest.mark.services
def test_a_server_that_forgets_is_refused_or_warned_of(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RedisVolatile, match="appendfsync always"):
        opened(redis_url)
    with caplog.at_level(logging.WARNING), closing(opened(redis_url, durable=False)):
        assert "may lose" in caplog.text


def test_a_server_that_is_not_there_is_said_so(unused_port: int) -> None:
    with pytest.raises(Unavailable):
        opened(f"redis://127.0.0.1:{unused_port}/0")


def test_urls() -> None:
    assert is_redis("redis://h")
    assert is_redis("rediss+cluster://h")
    assert not is_redis("sqlite:///x")
    plain = read_url("redis://:s%20x@h:1/2?prefix=a%3A&protocol=2")
    assert (plain.prefix, plain.plain) == ("a:", "redis://:s%20x@h:1/2?protocol=2")
    cluster = read_url("rediss+cluster://me:p%40@a:7000,[::1]:7001,b")
    assert cluster.nodes == (("a", 7000), ("::1", 7001), ("b", 6379))
    assert cluster.credentials == {"ssl": True, "username": "me", "password": "p@"}


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://a:0",
        "redis+cluster://a:70000",
        "redis+cluster://",
        "redis+cluster://a/3",
        "redis+cluster://a?ssl=1",
        "redis://h?prefix=a%7Bb",
    ],
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(ConfigInvalid):
        read_url(url)


@pytest.mark.parametrize("project", ["", "p", "a:b", "{x}", "ä %}"])
def test_a_tag_names_its_topic_and_can_hold_any_project(project: str) -> None:
    key = TopicKey(project, "a.B_c-1")
    assert topic_of_tag(tag_of(key)) == key
    assert Keys("k:").of_topic(key)[0].count("{") == 1
