"""What finding messages costs on SQLite, in steps of its virtual machine: the same at any depth."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa

from kilo_common.db.database import Database
from kilo_common.db.migrate import upgrade
from kilo_common.settings import DatabaseSettings
from kilo_common.testing.clock import FakeClock
from kilo_messaging.domain.claim import Claim
from kilo_messaging.domain.message import Message, new_message
from kilo_messaging.domain.topic import Topic, TopicKey
from kilo_messaging.storage.base import Page, Stores
from kilo_messaging.storage.sql.store import SCHEMA, open_sql_store

KEY = TopicKey("project", "topic")
AGAIN = 3
"""Operations of each kind that are measured."""


class Topics:
    """A topic that gets deeper, and the steps that operations on it take."""

    def __init__(self, database: Database, now: datetime) -> None:
        self._database = database
        self.stores: Stores = open_sql_store(database)
        self.now = now
        self._ids = count(1)
        self._steps = 0

    def fill(self, messages: int, *, claimed: int) -> None:
        """Post so many and claim some of them, the oldest."""
        self.post(messages)
        if claimed:
            assert len(self.claim(claimed)) == claimed

    def post(self, number: int) -> list[str]:
        def prepare(_topic: Topic) -> list[Message]:
            return [
                new_message(
                    message_id=f"m-{next(self._ids):08}",
                    body=b"1",
                    ttl=3600,
                    delay=0,
                    client_id="me",
                    now=self.now,
                )
                for _ in range(number)
            ]

        posted = self.stores.messages.post(KEY, prepare, self.now)
        assert posted is not None
        return posted.ids

    def claim(self, limit: int) -> list[str]:
        claim = Claim(id=f"c-{next(self._ids)}", ttl=300, grace=60, created_at=self.now)
        return [message.id for message in self.stores.claims.create(KEY, claim, limit)]

    def steps(self, work: Callable[[], object]) -> int:
        """How many steps `work` takes, done a few times."""
        self._watch(self._count)
        self._steps = 0
        for _ in range(AGAIN):
            work()
        self._watch(None)
        return self._steps

    def _count(self) -> int:
        self._steps += 1
        return 0

    def _watch(self, count: Callable[[], int] | None) -> None:
        def work(connection: sa.Connection) -> None:
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.set_progress_handler(count, 1)

        self._database.write(work)
        self._database.read(work)


@pytest.fixture
def topics(tmp_path: Path, executor: ThreadPoolExecutor) -> Iterator[Topics]:
    settings = DatabaseSettings(url=f"sqlite:///{tmp_path}/messaging.db")
    upgrade(settings, SCHEMA)
    database = Database(settings, executor)
    yield Topics(database, FakeClock().now())
    database.close()


def listing(topics: Topics) -> object:
    found = topics.stores.messages.page(KEY, Page(10), topics.now)
    assert len(found) == 10
    return found


def peeking(topics: Topics) -> object:
    newest = topics.post(2)
    found = topics.stores.messages.get(KEY, newest, topics.now)
    assert len(found) == 2
    return found


def claim_and_release(topics: Topics) -> object:
    claim = Claim(id="c", ttl=300, grace=60, created_at=topics.now)
    found = topics.stores.claims.create(KEY, claim, 10)
    assert len(found) == 10
    topics.stores.claims.release(KEY, "c", topics.now)
    return found


def claim_and_remove(topics: Topics) -> object:
    topics.post(10)
    found = topics.claim(10)
    topics.stores.messages.delete_many(KEY, found, topics.now)
    return found


def remove_one(topics: Topics) -> object:
    (newest,) = topics.post(1)
    topics.stores.messages.delete(KEY, newest, None, topics.now)
    return newest


def pop(topics: Topics) -> object:
    topics.post(1)
    found = topics.stores.messages.pop(KEY, 1, topics.now)
    assert len(found) == 1
    return found


@pytest.mark.parametrize(
    "work", [listing, peeking, claim_and_release, claim_and_remove, remove_one, pop]
)
def test_the_cost_does_not_depend_on_depth(
    topics: Topics, work: Callable[[Topics], object]
) -> None:
    topics.fill(100, claimed=20)
    shallow = topics.steps(lambda: work(topics))
    topics.fill(5000, claimed=2000)
    deep = topics.steps(lambda: work(topics))
    assert deep < shallow * 1.2


def test_sweeping_costs_what_it_removes(topics: Topics) -> None:
    topics.post(10)
    topics.now += timedelta(hours=2)
    topics.fill(2000, claimed=500)
    swept = topics.steps(
        lambda: topics.stores.messages.sweep(topics.now, 100, topics.now - timedelta(days=1))
    )
    assert swept < 3000
