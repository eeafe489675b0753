"""Encryption at rest: what a store gets, what clients get, and keys that change."""

import base64
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs
from werkzeug.test import Client

from kilo_common.db.migrate import upgrade
from kilo_common.errors import ConfigInvalid
from kilo_common.runtime import Runtime
from kilo_common.settings import DatabaseSettings
from kilo_common.testing.clock import FakeClock
from kilo_messaging import wiring
from kilo_messaging.config import EncryptionSettings, MessagingSettings
from kilo_messaging.domain.claim import Claim
from kilo_messaging.domain.message import new_message
from kilo_messaging.domain.subscription import Subscription
from kilo_messaging.domain.subscription_options import read_options
from kilo_messaging.domain.topic import ENCRYPTION, TopicKey
from kilo_messaging.storage.base import Page, Stores
from kilo_messaging.storage.memory.store import open_memory_store
from kilo_messaging.storage.sealing.seal import MARK, KeyMissing, Seal, SealBroken
from kilo_messaging.storage.sealing.stores import sealing_stores
from kilo_messaging.wiring import MessagingApi

KEY = TopicKey("demo", "secret")
ONE = base64.b64encode(b"1" * 32).decode()
TWO = base64.b64encode(b"2" * 32).decode()
SECRET = b'{"card":"4111"}'
NOW = FakeClock().now()


def test_a_seal_opens_what_it_sealed_and_nothing_else() -> None:
    seal = Seal({"one": ONE}, "one")
    sealed = seal.seal(SECRET, "id")
    assert sealed[:1] == MARK
    assert SECRET not in sealed
    assert sealed != seal.seal(SECRET, "id")
    assert seal.open(sealed, "id") == SECRET
    assert seal.open(SECRET, "id") == SECRET
    with pytest.raises(SealBroken):
        seal.open(sealed, "other")
    with pytest.raises(SealBroken):
        seal.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), "id")


def test_an_old_key_opens_what_it_sealed_as_long_as_it_is_there() -> None:
    sealed = Seal({"one": ONE}, "one").seal(SECRET, "id")
    assert Seal({"one": ONE, "two": TWO}, "two").open(sealed, "id") == SECRET
    with pytest.raises(KeyMissing, match="'one'"):
        Seal({"two": TWO}, "two").open(sealed, "id")


@pytest.mark.parametrize(
    ("keys", "active"),
    [({"one": "short"}, "one"), ({"one": ONE}, "two"), ({"": ONE}, ""), ({"one": ONE[:-4]}, "")],
)
def test_keys_that_are_none(keys: dict[str, str], active: str) -> None:
    with pytest.raises(ConfigInvalid):
        Seal(keys, active)


@pytest.fixture
def inner() -> Stores:
    return open_memory_store()


@pytest.fixture
def stores(inner: Stores) -> Stores:
    return sealing_stores(inner, Seal({"one": ONE}, "one"))


def post(stores: Stores, name: str = "id", key: TopicKey = KEY) -> None:
    made = new_message(message_id=name, body=SECRET, ttl=600, delay=0, client_id="me", now=NOW)
    posted = stores.messages.post(key, lambda _topic: [made], NOW)
    assert posted is not None
    # Who waits for it in this process gets it as it was posted.
    assert [each.body for each in posted.added] == [SECRET]


def test_whatever_is_read_is_open_and_whatever_is_kept_is_not(
    inner: Stores, stores: Stores
) -> None:
    stores.topics.create(KEY, {ENCRYPTION: True}, NOW)
    subscription = Subscription(
        id="00000000-0000-0000-0000-000000000001",
        key=KEY,
        subscriber="http://hook.example/",
        ttl=3600,
        options=read_options({"_filter": {"body": {"card": ["4111"]}}}),
        given={},
        created_at=NOW,
    )
    stores.subscriptions.create(subscription, NOW)
    post(stores)
    post(stores, "two")
    page = Page(limit=9)
    assert all(each.body[:1] == MARK for each in inner.messages.page(KEY, page, NOW))
    about = {"failed": False, "after": 0, "limit": 9, "now": NOW}
    notices = inner.deliveries.pending(KEY, subscription.id, **about)
    assert [each.notice.body[:1] for each in notices] == [MARK, MARK]
    claim = Claim(id="claim", ttl=60, grace=60, created_at=NOW)
    stats = stores.messages.stats(KEY, NOW)
    (job, _other) = stores.deliveries.claim(NOW, NOW + timedelta(seconds=9), limit=9, each=9)
    assert stats.oldest is not None
    found = [
        *stores.messages.page(KEY, page, NOW),
        *stores.messages.get(KEY, ["id"], NOW),
        *stores.messages.follow(KEY, 0, 9, NOW).messages,
        stats.oldest,
        *stores.claims.create(KEY, claim, 1),
        *stores.messages.pop(KEY, 1, NOW),
    ]
    assert {each.body for each in found} == {SECRET}
    assert job.deliveries[0].notice.body == SECRET
    pending = stores.deliveries.pending(KEY, subscription.id, **about)
    assert {each.notice.body for each in pending} == {SECRET}


def test_a_topic_that_does_not_ask_is_kept_as_it_is(inner: Stores, stores: Stores) -> None:
    post(stores)
    assert [each.body for each in inner.messages.page(KEY, Page(limit=9), NOW)] == [SECRET]


def test_dead_letters_stay_encrypted_and_readable(inner: Stores, stores: Stores) -> None:
    rules = {ENCRYPTION: True, "_max_claim_count": 1, "_dead_letter_queue": "dead"}
    stores.topics.create(KEY, rules, NOW)
    post(stores)
    claim = Claim(id="claim", ttl=60, grace=60, created_at=NOW)
    stores.claims.create(KEY, claim, 1)
    later = NOW + timedelta(seconds=60)
    stores.claims.create(KEY, structs.replace(claim, id="two", created_at=later), 1)
    dead = TopicKey("demo", "dead")
    (kept,) = inner.messages.page(dead, Page(limit=9), later)
    (read,) = stores.messages.page(dead, Page(limit=9), later)
    assert (kept.body[:1], read.body) == (MARK, SECRET)


@pytest.fixture
def encrypted(runtime: Runtime, tmp_path: Path) -> Iterator[MessagingApi]:
    settings = MessagingSettings(
        database=DatabaseSettings(url=f"sqlite:///{tmp_path}/messaging.db"),
        encryption=EncryptionSettings(keys={"one": ONE}, active="one"),
    )
    upgrade(settings.database, wiring.SCHEMA)
    made = wiring.build(settings, runtime)
    yield made
    made.close()


@pytest.mark.parametrize("option", ["_enable_encrypt_messages", "_encryption"])
def test_nothing_of_a_body_is_in_the_file(
    encrypted: MessagingApi,
    make_client: Callable[[MessagingApi], Client],
    tmp_path: Path,
    option: str,
) -> None:
    http = make_client(encrypted)
    assert http.put("/v2/topics/secret", json={option: True}).status_code == 201
    body = {"messages": [{"body": {"card": "4111"}, "ttl": 300}]}
    assert http.post("/v2/topics/secret/messages", json=body).status_code == 201
    (found,) = http.get("/v2/topics/secret/messages?echo=true").json["messages"]
    assert found["body"] == {"card": "4111"}
    with closing(sqlite3.connect(f"{tmp_path}/messaging.db")) as database:
        ((kept,),) = database.execute("SELECT body FROM messages").fetchall()
    assert b"4111" not in kept


def test_a_service_without_a_key_refuses(http: Client) -> None:
    refused = http.put("/v2/topics/secret", json={"_enable_encrypt_messages": True})
    assert refused.status_code == 400
    assert "messaging.encryption.active" in refused.json["description"]
    assert http.put("/v2/topics/open", json={"_enable_encrypt_messages": False}).status_code == 201
