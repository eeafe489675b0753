"""The S3 driver against a server, and the protocol by which contents are shared, step by step."""

import hashlib
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.blob_store import KEY, BlobStoreContract, put, read_all
from kilo_catalog.stores.base import BlobNotFound, BlobStore, StoreUnavailable
from kilo_catalog.stores.registry import open_store
from kilo_catalog.stores.s3.content import SharedContent
from kilo_catalog.stores.settings import S3Settings
from kilo_common.errors import ConfigInvalid


def open_s3(endpoint: str, *, deduplicate: bool = False, **changes: Any) -> BlobStore:
    values = {
        "bucket": "images", "prefix": f"{uuid.uuid4().hex}/", "endpoint": endpoint,
        "access_key": "test", "secret_key": "test", "part_size": 5 << 20,
    }  # fmt: skip
    return open_store("s3", deduplicate=deduplicate, s3=S3Settings(**(values | changes)))


def left(store: Any) -> list[str]:
    return [found.name for found in store._objects.list("")]


class TestS3(BlobStoreContract):
    LARGE = 12 << 20

    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, s3_endpoint: str) -> Iterator[BlobStore]:
        store = open_s3(s3_endpoint)
        yield store
        assert left(store) == []

    @pytest.fixture(scope="class")
    @classmethod
    def sibling(cls, s3_endpoint: str) -> BlobStore:
        return open_s3(s3_endpoint)


class TestDeduplicatingS3(TestS3):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, s3_endpoint: str) -> Iterator[BlobStore]:
        store = open_s3(s3_endpoint, deduplicate=True)
        yield store
        assert left(store) == []


def test_a_presigned_url_reads_without_credentials(s3_endpoint: str) -> None:
    for deduplicate in (False, True):
        store = open_s3(s3_endpoint, deduplicate=deduplicate)
        put(store, KEY, b"0123456789")
        url = store.presign(KEY, 60)
        assert url is not None
        with urllib.request.urlopen(url) as answer:
            assert answer.read() == b"0123456789"


def test_a_location_names_the_object(s3_endpoint: str) -> None:
    store = open_s3(s3_endpoint, prefix="p/")
    put(store, KEY, b"abc")
    assert store.location(KEY) == f"s3://images/p/blobs/{KEY}"
    store.delete(KEY)


def test_a_reader_says_that_the_blob_went(s3_endpoint: str) -> None:
    store = open_s3(s3_endpoint)
    put(store, KEY, bytes(9 << 20))
    reader = store.open(KEY)
    assert len(reader.read(4096)) == 4096
    store.delete(KEY)
    with pytest.raises(BlobNotFound):
        list(iter(lambda: reader.read(1 << 20), b""))
    reader.close()


def test_a_server_that_is_not_there_is_unavailable(unused_port: int) -> None:
    store = open_s3(f"http://127.0.0.1:{unused_port}")
    for verb in (store.size, store.create, store.delete):
        with pytest.raises(StoreUnavailable):
            verb(KEY)


def test_a_bucket_is_needed_and_a_wrong_one_is_told(s3_endpoint: str) -> None:
    with pytest.raises(ConfigInvalid, match="bucket"):
        open_store("s3")
    with pytest.raises(StoreUnavailable, match="NoSuchBucket"):
        list(open_s3(s3_endpoint, bucket="missing").keys())


def test_a_digest_known_before_costs_no_second_reading(s3_endpoint: str) -> None:
    store = open_s3(s3_endpoint, deduplicate=True)
    data = b"the same" * 1000
    digest = hashlib.sha512(data).hexdigest()
    for key in ("one", "two"):
        writer = store.create(key)
        writer.write(data)
        writer.commit(digest)
    usage = store.usage()
    assert (usage.blobs, usage.size, usage.stored) == (2, 16000, 8000)
    assert store.location("one") == store.location("two")
    for key in ("one", "two"):
        assert read_all(store, key, 0, 8) == b"the same"
        store.delete(key)
    assert left(store) == []


class Turns:
    """Lets threads go on one step at a time, in an order that is given."""

    def __init__(self, count: int, order: list[int]) -> None:
        self._order = order
        self._ready = threading.Condition()
        self._waiting: set[int] = set()
        self._alive = set(range(count))
        self._turn: int | None = None

    def step(self, me: int) -> None:
        with self._ready:
            self._waiting.add(me)
            self._choose()
            assert self._ready.wait_for(lambda: self._turn == me, timeout=20)
            self._turn = None
            self._waiting.discard(me)

    def leave(self, me: int) -> None:
        with self._ready:
            self._alive.discard(me)
            self._choose()

    def _choose(self) -> None:
        """When everybody waits, the next one in the order goes."""
        if self._turn is None and self._alive and self._waiting == self._alive:
            candidates = sorted(self._alive)
            pick = self._order.pop(0) if self._order else 0
            self._turn = candidates[pick % len(candidates)]
            self._ready.notify_all()


class SteppedNames:
    """Names in a set; each call is one step of whoever makes it."""

    def __init__(self, names: set[str], step: Callable[[], None]) -> None:
        self._names = names
        self._step = step

    def put(self, name: str) -> None:
        self._step()
        self._names.add(name)

    def delete(self, name: str) -> None:
        self._step()
        self._names.discard(name)

    def exists(self, name: str) -> bool:
        self._step()
        return name in self._names

    def names(self, folder: str) -> Iterator[str]:
        self._step()
        return iter(sorted(n.removeprefix(folder) for n in self._names if n.startswith(folder)))


@settings(max_examples=150, deadline=None)
@given(
    order=st.lists(st.integers(0, 5), min_size=20, max_size=120),
    deleted=st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_contents_are_shared_and_removed_whatever_the_order(
    order: list[int], deleted: list[bool]
) -> None:
    """Three blobs of the same bytes come, and some go again, all at the same time; one was there
    before, and goes meanwhile."""
    names: set[str] = {"data/a0", "digests/D/a0", "refs/a0/old"}
    turns = Turns(4, list(order))
    holds: dict[str, str] = {}

    def run(me: int, work: Callable[[SharedContent], None]) -> None:
        try:
            work(SharedContent(SteppedNames(names, lambda: turns.step(me))))
        finally:
            turns.leave(me)

    def live(me: int) -> Callable[[SharedContent], None]:
        key, own = f"k{me}", f"b{me}"

        def work(shared: SharedContent) -> None:
            tried: list[str] = []
            content = shared.attach("D", key, tried.append)
            if content is None:
                shared.need(own, key)
                names.add(f"data/{own}")
                shared.announce(own, "D")
                content = shared.attach("D", key, tried.append, below=own) or own
                if content != own:
                    shared.release(own, "D", key)
            holds[key] = content
            assert f"data/{content}" in names
            if deleted[me]:
                del holds[key]
                shared.release(content, "D", key)

        return work

    threads = [threading.Thread(target=run, args=(me, live(me))) for me in range(3)]
    threads.append(
        threading.Thread(target=run, args=(3, lambda shared: shared.release("a0", "D", "old")))
    )
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(holds) == deleted.count(False)
    for key, content in holds.items():
        assert f"data/{content}" in names, "bytes of a living blob are gone"
        assert f"refs/{content}/{key}" in names
    contents = {name.removeprefix("data/") for name in names if name.startswith("data/")}
    assert contents == set(holds.values()), "bytes that nobody needs are left"
    assert not any(name.startswith("graves/") for name in names)
    assert {n.split("/")[2] for n in names if n.startswith("digests/")} == contents


def test_equal_blobs_by_threads_keep_their_bytes(s3_endpoint: str) -> None:
    store = open_s3(s3_endpoint, deduplicate=True)
    faults: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(3):
                key = f"k{number}"
                put(store, key, b"equal bytes")
                assert read_all(store, key) == b"equal bytes"
                if turn < 2 or number % 2:
                    assert store.delete(key)
        except BaseException as fault:  # noqa: BLE001 - a thread's edge; the test raises it
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert sorted(store.keys()) == ["k0", "k2"]
    for key in list(store.keys()):
        assert read_all(store, key) == b"equal bytes"
        store.delete(key)
    assert left(store) == []
