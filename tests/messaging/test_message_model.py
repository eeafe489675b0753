"""A model of claims, expiry, order and dead letters, played against stores by hypothesis."""

import itertools
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as play

from kilo_common.db.database import Database
from kilo_common.db.migrate import upgrade
from kilo_common.settings import DatabaseSettings
from kilo_common.testing.clock import FakeClock
from kilo_messaging.domain.claim import Claim
from kilo_messaging.domain.message import new_message
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.storage.base import Page, Stores
from kilo_messaging.storage.memory.store import open_memory_store
from kilo_messaging.storage.redis.store import open_redis_store
from kilo_messaging.storage.sql.store import SCHEMA, open_sql_store
from support.placed import placed_stores
from support.redis_server import RedisServer

DEAD = "dead"
MAX_CLAIMS = 2
ORDERINGS = ("none", "priorities", "fifo", "fifo-group")
FAR = datetime.fromisoformat("2000-01-01T00:00:00+00:00")
GROUPS = st.sampled_from(["a", "b", None])
_names = itertools.count()


@dataclass
class Held:
    """What the model knows of one message."""

    group: str | None
    priority: int
    expires_at: datetime
    visible_at: datetime
    held_by: str | None = None
    claims: int = 0


class MessageModel(RuleBasedStateMachine):
    """One topic; the model is a dictionary of messages in the order of posting."""

    def __init__(self, stores: Stores, ordering: str) -> None:
        super().__init__()
        self.ordering = ordering
        self.stores = stores
        self.clock = FakeClock()
        self.key = TopicKey("p", f"topic-{next(_names)}")
        self.dead_key = TopicKey("p", f"{self.key.name}.{DEAD}")
        self.model: dict[str, Held] = {}
        self.letters: set[str] = set()
        self.claims: dict[str, datetime] = {}

    @initialize()
    def make(self) -> None:
        rule_of_dead = {"_max_claim_count": MAX_CLAIMS, "_dead_letter_queue": self.dead_key.name}
        if self.ordering == "priorities":
            kind: dict[str, object] = {"_priorities": True}
        else:
            kind = {"_ordering": self.ordering}
        self.stores.topics.create(self.key, {**kind, **rule_of_dead}, self.now)
        for _message in range(3):
            self.post("a", 600, 0, 0)

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def lane(self, held: Held) -> str | None:
        return {"fifo": "", "fifo-group": held.group or ""}.get(self.ordering)

    def alive(self) -> dict[str, Held]:
        return {name: each for name, each in self.model.items() if each.expires_at > self.now}

    def ready(self) -> list[str]:
        """What may be handed out, the first of it first."""
        found, waiting = [], set()
        for name, each in self.alive().items():
            lane = self.lane(each)
            if each.visible_at > self.now:
                waiting.add(lane)
            elif lane is None or lane not in waiting:
                found.append(name)
        if self.ordering == "priorities":
            found.sort(key=lambda name: -self.model[name].priority)
        return found

    @rule(
        group=GROUPS,
        ttl=st.sampled_from([60, 600]),
        delay=st.sampled_from([0, 0, 30, 100]),
        priority=st.sampled_from([0, 0, 3, 9]),
    )
    def post(self, group: str | None, ttl: int, delay: int, priority: int) -> None:
        name = f"m{next(_names)}"
        message = new_message(
            message_id=name,
            body=b"1",
            ttl=ttl,
            delay=delay,
            client_id="me",
            now=self.now,
            group=group,
            priority=priority,
        )
        self.stores.messages.post(self.key, lambda _topic: [message], self.now)
        self.model[name] = Held(group, priority, message.expires_at, message.visible_at)

    @rule(limit=st.integers(1, 3), ttl=st.sampled_from([60, 120]))
    def claim(self, limit: int, ttl: int) -> None:
        claim = Claim(id=f"c{next(_names)}", ttl=ttl, grace=60, created_at=self.now)
        expected = self.ready()
        taken = [each.id for each in self.stores.claims.create(self.key, claim, limit)]
        self.bury(expected)
        living = [name for name in expected if name in self.model]
        self.check_taken(taken, living, limit)
        for name in taken:
            held = self.model[name]
            held.held_by, held.visible_at = claim.id, claim.expires_at
            held.claims += 1
            held.expires_at = max(held.expires_at, claim.messages_live_until)
        if taken:
            self.claims[claim.id] = claim.expires_at

    def bury(self, ready: list[str]) -> None:
        """Note which messages have become dead letters; only those claimed too often may."""
        page = self.stores.messages.page(self.dead_key, Page(limit=1000), self.now)
        for letter in page:
            if letter.id in self.model:
                assert letter.id in ready
                assert self.model.pop(letter.id).claims == MAX_CLAIMS
                assert letter.source == self.key.name
                self.letters.add(letter.id)

    def check_taken(self, taken: list[str], living: list[str], limit: int) -> None:
        """No more than may be, as many as can be, and in each lane the first ones in order."""
        assert set(taken) <= set(living)
        assert all(self.model[name].claims < MAX_CLAIMS for name in taken)
        able = [name for name in living if self.model[name].claims < MAX_CLAIMS]
        assert len(taken) == min(limit, len(able))
        if self.ordering != "fifo-group":
            assert taken == able[: len(taken)]
        for group in ("a", "b", None):
            mine = [name for name in taken if self.model[name].group == group]
            assert mine == [name for name in able if self.model[name].group == group][: len(mine)]

    @rule(limit=st.integers(1, 3))
    def pop(self, limit: int) -> None:
        ready = self.ready()
        taken = [each.id for each in self.stores.messages.pop(self.key, limit, self.now)]
        assert len(taken) == min(limit, len(ready))
        assert set(taken) <= set(ready)
        for group in ("a", "b", None):
            mine = [name for name in taken if self.model[name].group == group]
            first = [name for name in ready if self.model[name].group == group]
            assert mine == first[: len(mine)]
        for name in taken:
            del self.model[name]

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        if self.model:
            name = data.draw(st.sampled_from(sorted(self.model)))
            self.stores.messages.delete_many(self.key, [name], self.now)
            if name in self.alive():
                del self.model[name]

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if self.claims:
            claim_id = data.draw(st.sampled_from(sorted(self.claims)))
            self.stores.claims.release(self.key, claim_id, self.now)
            if self.claims.pop(claim_id) > self.now:
                for each in self.model.values():
                    if each.held_by == claim_id:
                        each.held_by, each.visible_at = None, self.now

    @rule(data=st.data(), ttl=st.sampled_from([60, 200]))
    def renew(self, data: st.DataObject, ttl: int) -> None:
        if self.claims:
            claim_id = data.draw(st.sampled_from(sorted(self.claims)))
            lives = self.claims[claim_id] > self.now
            assert self.stores.claims.update(self.key, claim_id, ttl, 60, self.now) is lives
            if lives:
                self.claims[claim_id] = until = self.now + timedelta(seconds=ttl)
                for each in self.alive().values():
                    if each.held_by == claim_id:
                        each.visible_at = until
                        each.expires_at = max(each.expires_at, until + timedelta(seconds=60))

    @rule(seconds=st.sampled_from([1, 30, 60, 100]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        while self.stores.messages.sweep(self.now, 100, FAR):
            pass
        self.model = self.alive()

    @invariant()
    def the_store_holds_what_the_model_holds(self) -> None:
        page = Page(limit=1000, claimed=True, delayed=True)
        found = [each.id for each in self.stores.messages.page(self.key, page, self.now)]
        assert found == list(self.alive())
        assert len(self.letters & set(found)) == 0


SETTINGS = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


FEWER = settings(SETTINGS, max_examples=15, stateful_step_count=30)
FEWEST = settings(SETTINGS, max_examples=6, stateful_step_count=30)


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_the_store_in_memory_is_the_model(ordering: str) -> None:
    play(lambda: MessageModel(open_memory_store(), ordering), settings=SETTINGS)


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_stores_in_front_of_a_store_are_the_model(ordering: str) -> None:
    play(lambda: MessageModel(placed_stores(), ordering), settings=FEWER)


@contextmanager
def sql_store(url: str) -> Iterator[Stores]:
    with ThreadPoolExecutor(4) as executor:
        database_settings = DatabaseSettings(url=url)
        upgrade(database_settings, SCHEMA)
        database = Database(database_settings, executor)
        try:
            yield open_sql_store(database)
        finally:
            database.close()


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_the_store_on_sqlite_is_the_model(ordering: str, tmp_path: Path) -> None:
    with sql_store(f"sqlite:///{tmp_path}/messaging.db") as stores:
        play(lambda: MessageModel(stores, ordering), settings=FEWER)


@pytest.mark.services
@pytest.mark.parametrize("ordering", ORDERINGS)
def test_the_store_on_a_database_server_is_the_model(ordering: str, service_url: str) -> None:
    with sql_store(service_url) as stores:
        play(lambda: MessageModel(stores, ordering), settings=FEWEST)


@pytest.mark.services
@pytest.mark.parametrize("ordering", ORDERINGS)
def test_the_store_in_redis_is_the_model(ordering: str, durable_redis: RedisServer) -> None:
    url = f"{durable_redis.url}?prefix={uuid.uuid4().hex}:"
    stores = open_redis_store(DatabaseSettings(url=url), durable=True)
    play(lambda: MessageModel(stores, ordering), settings=FEWER)
    stores.close()
