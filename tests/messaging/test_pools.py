"""Pools, flavors and moves: through the API in process, and on stores under load."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from werkzeug.test import Client

from kilo_common.clock import SystemClock
from kilo_common.context import RequestContext
from kilo_common.db.database import Database
from kilo_common.db.migrate import upgrade
from kilo_common.errors import Unavailable
from kilo_common.policy import PolicyForbids
from kilo_common.settings import DatabaseSettings
from kilo_common.testing.clock import FakeClock
from kilo_messaging.domain.claim import Claim
from kilo_messaging.domain.message import new_message
from kilo_messaging.domain.pool import Flavor, Pool, choose_pool
from kilo_messaging.domain.subscription import Subscription
from kilo_messaging.domain.subscription_options import read_options
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.errors import FlavorUnknown, MoveRefused, TopicMoving
from kilo_messaging.storage.base import Page, Stores
from kilo_messaging.storage.memory.store import open_memory_store
from kilo_messaging.storage.placement_base import RELEASED
from kilo_messaging.storage.pools.mover import TopicMover
from kilo_messaging.storage.pools.router import Router, RouterTimes
from kilo_messaging.storage.pools.stores import placing_stores
from kilo_messaging.storage.redis.store import open_redis_store
from kilo_messaging.storage.sql.store import SCHEMA, open_sql_store
from kilo_messaging.wiring import MessagingApi
from support.databases import fresh
from support.redis_server import RedisServer

KEY = TopicKey("demo", "work")
QUICK = RouterTimes(refresh=0.02, settle=0.1, entry=1.0, patience=5.0)
ADMIN = {"X-Roles": "admin", "X-Project-Id": "demo"}


def pool(name: str, weight: int = 1, flavor: str | None = None) -> Pool:
    return Pool(name=name, uri=f"memory://{name}", weight=weight, flavor=flavor, ready=True)


# Choosing


def test_pools_are_chosen_by_weight() -> None:
    pools = [pool("one", 1), pool("two", 3), pool("none", 0)]
    chosen = [choose_pool(None, pools, [], 0, lambda at=at: at / 100) for at in range(100)]
    assert (chosen.count("one"), chosen.count("two"), chosen.count("none")) == (25, 75, 0)


def test_the_main_store_takes_what_nobody_else_takes() -> None:
    assert choose_pool(None, [pool("idle", 0), pool("own", 1, "fast")], [], 0) == "main"
    half = [choose_pool(None, [pool("one")], [], 1, lambda at=at: at / 10) for at in range(10)]
    assert half.count("main") == 5


def test_a_flavor_leads_to_its_pools() -> None:
    pools = [pool("one"), pool("own", 1, "fast")]
    assert choose_pool("fast", pools, [], 0) == "own"
    assert choose_pool("slow", pools, [Flavor(name="slow", pool_list=("one",))], 0) == "one"
    with pytest.raises(FlavorUnknown):
        choose_pool("unknown", pools, [], 0)


def test_a_pool_that_not_everybody_knows_of_gets_nothing() -> None:
    new = Pool(name="new", uri="memory://", weight=5)
    assert choose_pool(None, [new], [], 0) == "main"


# Moves


class Processes:
    """Two processes over the same main store and pools."""

    def __init__(self, one: Stores, two: Stores) -> None:
        self.main = open_memory_store()
        self.pools = {"one": one, "two": two}
        for name in self.pools:
            self.main.placements.put_pool(pool(name, 1 if name == "one" else 0))
        self.routers = [
            Router(self.main, lambda each: self.pools[each.name], SystemClock(), times=QUICK)
            for _process in range(2)
        ]
        self.stores = [placing_stores(router) for router in self.routers]

    def move(self, key: TopicKey, to: str):
        return TopicMover(self.routers[0], SystemClock()).move(key, to)


@pytest.fixture
def processes() -> Processes:
    return Processes(open_memory_store(), open_memory_store())


@pytest.fixture(params=["memory memory", "sqlite redis", "redis postgresql", "postgresql sqlite"])
def mixed(
    request: pytest.FixtureRequest, tmp_path: Path, executor: ThreadPoolExecutor
) -> Iterator[Processes]:
    """Pools of different kinds."""
    with ExitStack() as undo:

        def opened(stores: Stores) -> Stores:
            undo.callback(stores.close)
            return stores

        def sql(url: str) -> Stores:
            upgrade(DatabaseSettings(url=url), SCHEMA)
            return opened(open_sql_store(Database(DatabaseSettings(url=url), executor)))

        def make(kind: str) -> Stores:
            match kind:
                case "sqlite":
                    return sql(f"sqlite:///{tmp_path}/messaging.db")
                case "postgresql":
                    return sql(undo.enter_context(fresh(kind)))
                case "redis":
                    server: RedisServer = request.getfixturevalue("durable_redis")
                    url = f"{server.url}?prefix={uuid.uuid4().hex}:"
                    return opened(open_redis_store(DatabaseSettings(url=url), durable=True))
            return open_memory_store()

        one, two = (make(kind) for kind in request.param.split())
        yield Processes(one, two)


def now():
    return SystemClock().now()


def post(stores: Stores, *names: str, key: TopicKey = KEY) -> None:
    moment = now()
    made = [
        new_message(message_id=name, body=b'"x"', ttl=600, delay=0, client_id="me", now=moment)
        for name in names
    ]
    stores.messages.post(key, lambda _topic: made, moment)


def listed(stores: Stores, key: TopicKey = KEY) -> list[str]:
    page = Page(limit=100_000, claimed=True, delayed=True)
    return [each.id for each in stores.messages.page(key, page, now())]


def test_both_processes_find_a_topic_where_either_placed_it(processes: Processes) -> None:
    one, two = processes.stores
    post(one, "a")
    post(two, "b")
    assert listed(one) == listed(two) == listed(processes.pools["one"]) == ["a", "b"]


def test_what_lay_in_the_main_store_before_there_were_pools_stays_there() -> None:
    main, beside = open_memory_store(), open_memory_store()
    router = Router(main, lambda _pool: beside, SystemClock(), times=QUICK)
    stores = placing_stores(router)
    post(stores, "a")
    main.placements.put_pool(pool("one"))
    router.settle()
    post(stores, "b")
    post(stores, "c", key=TopicKey("demo", "new"))
    assert listed(main) == ["a", "b"]
    assert listed(beside, TopicKey("demo", "new")) == ["c"]
    names = [topic.key.name for topic in stores.topics.page("demo", after="", limit=9)]
    assert names == ["new", "work"]
    assert stores.topics.count("demo") == 2


@pytest.mark.services
def test_a_move_takes_everything_along(mixed: Processes) -> None:
    processes, stores = mixed, mixed.stores[1]
    subscription = Subscription(
        id="00000000-0000-0000-0000-000000000001",
        key=KEY,
        subscriber="http://hook.example/",
        ttl=3600,
        options=read_options({}),
        given={},
        created_at=now(),
    )
    stores.topics.create(KEY, {"_ordering": "fifo", "colour": "red"}, now())
    stores.subscriptions.create(subscription, now())
    post(stores, *(f"m-{number:04}" for number in range(1200)))
    claim = Claim(id="claim", ttl=60, grace=60, created_at=now())
    (first,) = stores.claims.create(KEY, claim, 1)
    moved = processes.move(KEY, "two")
    assert (moved.topics, moved.messages, moved.deliveries) == (("work",), 1200, 1200)
    assert listed(processes.pools["two"]) == [f"m-{number:04}" for number in range(1200)]
    assert processes.pools["one"].topics.get(KEY) is None
    assert stores.topics.get(KEY).metadata["colour"] == "red"
    assert not stores.claims.create(KEY, Claim(id="b", ttl=60, grace=60, created_at=now()), 1)
    stores.messages.delete(KEY, first.id, "claim", now())
    kept = stores.subscriptions.get(KEY, subscription.id, now())
    assert kept == subscription
    jobs = stores.deliveries.claim(now(), now() + timedelta(seconds=9), limit=5, each=5)
    assert [job.deliveries[0].notice.message_id for job in jobs] == ["m-0000"]


def test_a_topic_can_go_back_to_where_it_was(processes: Processes) -> None:
    stores = processes.stores[1]
    post(stores, "a")
    for name in ("two", "one", "main"):
        assert processes.move(KEY, name).messages == 1
    assert listed(processes.main) == listed(stores) == ["a"]


def test_a_pool_that_is_away_holds_up_only_its_own_topics() -> None:
    main, beside = open_memory_store(), open_memory_store()

    def open_pool(wanted: Pool) -> Stores:
        if wanted.name == "away":
            raise Unavailable("down")
        return beside

    for each in (pool("away", 0), pool("here", 1)):
        main.placements.put_pool(each)
    gone = TopicKey("demo", "gone")
    main.placements.place(gone, "away", now())
    stores = placing_stores(Router(main, open_pool, SystemClock(), times=QUICK))
    post(stores, "a")
    assert listed(beside) == ["a"]
    claim = Claim(id="claim", ttl=60, grace=60, created_at=now())
    assert not stores.claims.create(TopicKey("demo", "none"), claim, 1)
    assert not stores.deliveries.claim(now(), now(), limit=9, each=9)
    stores.messages.sweep(now(), 9, now())
    with pytest.raises(Unavailable):
        post(stores, "b", key=gone)
    with pytest.raises(Unavailable):
        stores.topics.page("demo", after="", limit=9)


def test_topics_that_share_dead_letters_stay_together(processes: Processes) -> None:
    stores = processes.stores[1]
    stores.topics.create(KEY, {"_max_claim_count": 1, "_dead_letter_queue": "dead"}, now())
    dead = TopicKey("demo", "dead")
    post(stores, "letter", key=dead)
    assert processes.move(dead, "two").topics == ("dead", "work")
    assert listed(processes.pools["two"], dead) == ["letter"]
    post(stores, "a")
    assert listed(processes.pools["two"]) == ["a"]
    post(stores, "elsewhere", key=TopicKey("demo", "alone"))
    with pytest.raises(MoveRefused):
        stores.topics.update(KEY, lambda old: {**old, "_dead_letter_queue": "alone"}, now())


def test_a_topic_that_is_there_is_not_made_whatever_it_is_to_be(processes: Processes) -> None:
    stores = processes.stores[1]
    post(stores, "a")
    post(stores, "b", key=TopicKey("demo", "alone"))
    processes.move(KEY, "two")
    assert not stores.topics.create(
        KEY, {"_max_claim_count": 1, "_dead_letter_queue": "alone"}, now()
    )


def test_nothing_is_lost_or_doubled_while_two_processes_post_and_consume(
    processes: Processes,
) -> None:
    stopped = threading.Event()
    posted: list[list[str]] = [[], []]
    consumed: list[list[str]] = [[], []]
    post(processes.stores[0], *(f"before-{number}" for number in range(500)))

    def keep_posting(number: int) -> None:
        while not stopped.is_set():
            name = f"p{number}-{len(posted[number]):06}"
            post(processes.stores[number], name)
            posted[number].append(name)
            time.sleep(0)  # lets the others run where threads are greenlets

    def keep_consuming(number: int) -> None:
        while not stopped.is_set():
            found = processes.stores[number].messages.pop(KEY, 3, now())
            consumed[number].extend(each.id for each in found)
            time.sleep(0)

    with ThreadPoolExecutor(4) as pool:
        working = [pool.submit(keep_posting, number) for number in range(2)]
        working += [pool.submit(keep_consuming, number) for number in range(2)]
        for name in ("two", "main", "one"):
            processes.move(KEY, name)
        stopped.set()
        for each in working:
            each.result()
    left = listed(processes.stores[0])
    seen = [*consumed[0], *consumed[1], *left]
    everything = [f"before-{number}" for number in range(500)] + posted[0] + posted[1]
    assert sorted(seen) == sorted(everything)
    mine = [name for name in left if name.startswith("p0-")]
    assert mine == sorted(mine)


def test_a_move_that_fails_leaves_the_topic_where_it_was(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(processes.stores[0], "a")
    target = processes.pools["two"].messages

    def fail(*_about: object) -> None:
        raise Unavailable("down")

    monkeypatch.setattr(target, "put", fail)
    with pytest.raises(Unavailable):
        processes.move(KEY, "two")
    assert listed(processes.stores[1]) == ["a"]
    assert processes.pools["two"].topics.get(KEY) is None
    monkeypatch.undo()
    assert processes.move(KEY, "two").messages == 1


def test_a_mover_that_died_holds_nobody_up_for_long(processes: Processes) -> None:
    post(processes.stores[0], "a")
    placements = processes.main.placements
    placed = placements.find(KEY, now())
    assert placed is not None

    def left_behind(seconds: float) -> None:
        current = placements.find(KEY, now())
        until = now() + timedelta(seconds=seconds)
        moving = type(placed)(pool="one", moving_to="two", moving_until=until)
        assert placements.change(KEY, current, moving)
        processes.routers[0].settle()

    left_behind(0.0)
    assert listed(processes.stores[0]) == ["a"]
    assert processes.move(KEY, "two").messages == 1
    processes.move(KEY, "one")
    left_behind(60.0)
    hasty = Router(
        processes.main,
        lambda each: processes.pools[each.name],
        SystemClock(),
        times=RouterTimes(patience=0.0),
    )
    with pytest.raises(TopicMoving):
        listed(placing_stores(hasty))
    with pytest.raises(TopicMoving):
        TopicMover(hasty, SystemClock()).move(KEY, "two")


# The API


@pytest.fixture
def admin(sql_api: MessagingApi, make_client: Callable[[MessagingApi], Client]) -> Client:
    return make_client(sql_api)


def put_pool(http: Client, tmp_path: Path, name: str, **more: object) -> int:
    body = {"uri": f"sqlite:///{tmp_path}/{name}.db", "weight": 1, **more}
    return http.put(f"/v2/pools/{name}", json=body).status_code


def test_pools_and_flavors_through_the_api(admin: Client, tmp_path: Path, clock: FakeClock) -> None:
    assert put_pool(admin, tmp_path, "one") == 201
    assert put_pool(admin, tmp_path, "one") == 204
    assert put_pool(admin, tmp_path, "two", weight=0) == 201
    listed = admin.get("/v2/pools?detailed=true").json
    assert [each["name"] for each in listed["pools"]] == ["one", "two"]
    assert listed["pools"][0]["options"] == {}
    changed = admin.patch("/v2/pools/two", json={"weight": 7})
    assert (changed.status_code, changed.json["weight"]) == (200, 7)
    assert admin.put("/v2/flavors/fast", json={"pool_list": ["two"]}).status_code == 201
    shown = admin.get("/v2/flavors/fast").json
    assert (shown["pool_list"], "FIFO" in shown["capabilities"]) == (["two"], True)
    assert admin.put("/v2/topics/quick", json={"_flavor": "fast"}).status_code == 201
    assert admin.get("/v2/topics/quick/placement").json == {"pool": "two"}
    moved = admin.put("/v2/topics/quick/placement", json={"pool": "main"})
    assert (moved.status_code, moved.json["pool"]) == (200, "main")
    pools = admin.get("/v2/health").json["pools"]
    assert pools == {name: {"storage_reachable": True} for name in ("main", "one", "two")}
    clock.advance(RELEASED.total_seconds())  # the topic of the health check has only just gone
    assert admin.delete("/v2/pools/two").status_code == 204
    assert admin.get("/v2/pools/two").status_code == 404
    assert admin.delete("/v2/flavors/fast").status_code == 204


def test_a_pool_with_topics_is_not_removed(admin: Client, tmp_path: Path) -> None:
    put_pool(admin, tmp_path, "one")
    admin.put("/v2/topics/work", json={})
    refused = admin.delete("/v2/pools/one")
    assert (refused.status_code, refused.json["code"]) == (409, "messaging.pool.in_use")
    assert put_pool(admin, tmp_path, "one", uri=f"sqlite:///{tmp_path}/other.db") == 409
    admin.put("/v2/topics/more", json={})
    assert admin.get("/v2/topics/more/placement").json == {"pool": "one"}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v2/pools/one", {"weight": 1}, 400),
        ("/v2/pools/one", {"uri": "memory://", "weight": 1}, 400),
        ("/v2/pools/one", {"uri": "sqlite:///relative.db", "weight": 1}, 400),
        ("/v2/pools/one", {"uri": "nonsense", "weight": 1}, 400),
        ("/v2/pools/one", {"uri": "redis://127.0.0.1:1/0", "weight": 1}, 400),
        ("/v2/pools/one", {"uri": "sqlite:////tmp/x", "weight": -1}, 400),
        ("/v2/pools/one", {"uri": "sqlite:////tmp/x", "weight": 1, "options": {"a": 1}}, 400),
        ("/v2/pools/main", {"uri": "sqlite:////tmp/x", "weight": 1}, 400),
        ("/v2/pools/a%20b", {"uri": "sqlite:////tmp/x", "weight": 1}, 400),
        ("/v2/flavors/fast", {"pool_list": ["nowhere"]}, 400),
        ("/v2/flavors/fast", {"pool_list": []}, 400),
        ("/v2/topics/none/placement", {"pool": "main"}, 404),
        ("/v2/topics/none/placement", {"pool": "nowhere"}, 404),
    ],
)
def test_what_cannot_be_is_refused(
    admin: Client, path: str, body: dict[str, object], status: int
) -> None:
    assert admin.put(path, json=body).status_code == status


def test_a_topic_of_an_unknown_flavor_is_refused(admin: Client, tmp_path: Path) -> None:
    put_pool(admin, tmp_path, "one")
    refused = admin.put("/v2/topics/work", json={"_flavor": "unknown"})
    assert (refused.status_code, refused.json["code"]) == (400, "messaging.flavor.unknown")


def test_only_operators_see_pools(api: MessagingApi, context: RequestContext) -> None:
    with pytest.raises(PolicyForbids):
        api.operations.pools.pools(context, marker="", limit=None)
    with pytest.raises(PolicyForbids):
        api.operations.pools.move(context, "work", "main", None)


def test_a_password_is_not_shown() -> None:
    shown = Pool(name="one", uri="postgresql://me:secret@h/db", weight=1).shown_uri
    assert shown == "postgresql://me:***@h/db"
