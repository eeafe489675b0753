"""What every blob store keeps to. A driver's test class gives a `store` fixture, and the suite
checks after each test that nothing was left behind unfinished. A driver that takes blobs over from
its like gives a `sibling` as well. What a driver does not promise is not asked of it: tests look at
its capabilities, never at its name. `ReadOnlyContract` is for stores that keep nothing."""

import hashlib
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from kilo_catalog.stores.base import (
    BlobExists,
    BlobNotFound,
    BlobStore,
    Capability,
    KeyInvalid,
    StoreReadOnly,
    StoreUnavailable,
)
from kilo_catalog.stores.memory import MemoryStore

KEY = "6b1f0c9e-1c1e-4a53-9d0c-0e6f0c4f2a11"


def put(store: BlobStore, key: str, data: bytes) -> None:
    writer = store.create(key)
    writer.write(data)
    assert writer.commit() == len(data)


def read_all(store: BlobStore, key: str, offset: int = 0, length: int | None = None) -> bytes:
    reader = store.open(key, offset, length)
    try:
        return b"".join(iter(lambda: reader.read(3), b""))
    finally:
        reader.close()


def needs(store: BlobStore, capability: Capability) -> None:
    if capability not in store.capabilities:
        pytest.skip(f"{store.driver} does not promise {capability.value}")


class BlobStoreContract:
    LARGE = 200_000
    """Bytes that a driver which sends parts sends in several."""

    @pytest.fixture
    def sibling(self, store: BlobStore) -> BlobStore:
        """Another store of the driver, from which it takes over blobs."""
        assert Capability.ADOPT_OWN not in store.capabilities, "give a sibling fixture"
        pytest.skip(f"{store.driver} does not promise {Capability.ADOPT_OWN.value}")

    @pytest.fixture(autouse=True)
    def nothing_is_left_behind(self, store: BlobStore) -> Iterator[None]:
        yield
        for key in list(store.keys()):
            assert store.delete(key)
        assert list(store.keys()) == []
        assert list(store.unfinished()) == []

    def test_committed_bytes_are_read_back(self, store: BlobStore) -> None:
        put(store, KEY, b"0123456789")
        assert read_all(store, KEY) == b"0123456789"
        assert store.size(KEY) == 10
        assert list(store.keys()) == [KEY]

    def test_an_empty_blob_is_a_blob(self, store: BlobStore) -> None:
        put(store, KEY, b"")
        assert store.size(KEY) == 0
        assert read_all(store, KEY) == b""

    @pytest.mark.parametrize(
        ("offset", "length", "expected"),
        [
            (0, 4, b"0123"),
            (4, None, b"456789"),
            (4, 100, b"456789"),
            (9, 1, b"9"),
            (10, None, b""),
            (99, 5, b""),
            (3, 0, b""),
        ],
    )
    def test_a_range_ends_where_the_blob_ends(
        self, store: BlobStore, offset: int, length: int | None, expected: bytes
    ) -> None:
        put(store, KEY, b"0123456789")
        assert read_all(store, KEY, offset, length) == expected

    def test_nothing_is_readable_before_the_commit(self, store: BlobStore) -> None:
        writer = store.create(KEY)
        writer.write(b"abc")
        with pytest.raises(BlobNotFound):
            store.open(KEY)
        with pytest.raises(BlobNotFound):
            store.size(KEY)
        assert list(store.keys()) == []
        writer.cancel()

    def test_a_cancelled_blob_never_was(self, store: BlobStore) -> None:
        writer = store.create(KEY)
        writer.write(b"abc")
        writer.cancel()
        writer.cancel()
        with pytest.raises(BlobNotFound):
            store.size(KEY)
        put(store, KEY, b"again")

    def test_cancel_after_commit_changes_nothing(self, store: BlobStore) -> None:
        writer = store.create(KEY)
        writer.write(b"abc")
        writer.commit()
        writer.cancel()
        assert read_all(store, KEY) == b"abc"

    def test_a_taken_key_is_refused(self, store: BlobStore) -> None:
        put(store, KEY, b"first")
        with pytest.raises(BlobExists):
            store.create(KEY)
        assert read_all(store, KEY) == b"first"

    def test_a_key_that_is_being_written_is_refused(self, store: BlobStore) -> None:
        writer = store.create(KEY)
        with pytest.raises(BlobExists):
            store.create(KEY)
        writer.cancel()

    def test_delete_removes_once_and_is_harmless_then(self, store: BlobStore) -> None:
        put(store, KEY, b"abc")
        assert store.delete(KEY) is True
        assert store.delete(KEY) is False
        with pytest.raises(BlobNotFound):
            store.open(KEY)

    def test_delete_removes_what_is_unfinished(self, store: BlobStore) -> None:
        writer = store.create(KEY)
        writer.write(b"abc")
        assert store.delete(KEY) is True
        with pytest.raises(StoreUnavailable):
            writer.commit()
        writer.cancel()
        with pytest.raises(BlobNotFound):
            store.size(KEY)

    def test_a_reader_outlives_the_deletion(self, store: BlobStore) -> None:
        needs(store, Capability.READS_OUTLIVE_DELETION)
        put(store, KEY, b"abcdef")
        reader = store.open(KEY)
        store.delete(KEY)
        assert reader.read(6) == b"abcdef"
        reader.close()
        reader.close()

    def test_unfinished_blobs_are_listed(self, store: BlobStore) -> None:
        writer = store.create(KEY)
        assert [each.key for each in store.unfinished()] == [KEY]
        writer.commit()
        assert list(store.unfinished()) == []

    @pytest.mark.parametrize(
        "key", ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\0b", "a\n", "ä", "-x", "k" * 129]
    )
    def test_keys_that_could_lead_elsewhere_are_refused(self, store: BlobStore, key: str) -> None:
        for verb in (
            store.create, store.resume, store.open, store.size, store.delete, store.local_file,
            store.location, lambda key: store.presign(key, 60),
        ):  # fmt: skip
            with pytest.raises(KeyInvalid):
                verb(key)

    def test_writers_of_different_keys_do_not_mix(self, store: BlobStore) -> None:
        def write(number: int) -> None:
            writer = store.create(f"blob-{number}")
            for _ in range(50):
                writer.write(bytes([number]) * 100)
            writer.commit()

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number in range(8):
            assert read_all(store, f"blob-{number}") == bytes([number]) * 5000

    def test_large_blobs_are_read_back_whole_and_in_part(self, store: BlobStore) -> None:
        data = bytes(range(256)) * (self.LARGE // 256)
        writer = store.create(KEY)
        for start in range(0, len(data), 70_001):
            writer.write(data[start : start + 70_001])
            assert writer.offset == min(len(data), start + 70_001)
        assert writer.commit(hashlib.sha512(data).hexdigest()) == len(data)
        reader = store.open(KEY)
        assert b"".join(iter(lambda: reader.read(65_000), b"")) == data
        reader.close()
        middle = len(data) // 2
        assert read_all(store, KEY, middle, 10) == data[middle : middle + 10]

    def test_a_suspended_blob_is_gone_on_with(self, store: BlobStore) -> None:
        writer = store.create(KEY)
        writer.write(b"012")
        writer.write(b"345")
        assert writer.suspend() == 6
        assert [each.key for each in store.unfinished()] == [KEY]
        with pytest.raises(BlobNotFound):
            store.size(KEY)
        with pytest.raises(BlobExists):
            store.create(KEY)
        again = store.resume(KEY)
        assert again.offset == 6
        again.write(b"67")
        assert again.suspend() == 8
        last = store.resume(KEY)
        assert last.offset == 8
        last.write(b"89")
        assert last.commit() == 10
        assert read_all(store, KEY) == b"0123456789"

    def test_a_large_blob_is_suspended_anywhere(self, store: BlobStore) -> None:
        data = bytes(range(256)) * (self.LARGE // 256)
        store.create(KEY).suspend()
        at = 0
        for length in (1, self.LARGE // 3, self.LARGE // 2, self.LARGE):
            writer = store.resume(KEY)
            assert writer.offset == at
            writer.write(data[at : at + length])
            at = writer.suspend()
        writer = store.resume(KEY)
        assert writer.offset == len(data)
        writer.commit()
        reader = store.open(KEY)
        assert b"".join(iter(lambda: reader.read(1 << 20), b"")) == data
        reader.close()

    def test_a_suspended_blob_can_be_given_up(self, store: BlobStore) -> None:
        writer = store.create(KEY)
        writer.write(b"abc")
        writer.suspend()
        store.resume(KEY).cancel()
        with pytest.raises(BlobNotFound):
            store.resume(KEY)
        writer = store.create(KEY)
        writer.write(b"abc")
        writer.suspend()
        assert store.delete(KEY) is True
        assert list(store.unfinished()) == []

    def test_only_what_was_begun_is_resumed(self, store: BlobStore) -> None:
        with pytest.raises(BlobNotFound):
            store.resume(KEY)
        put(store, KEY, b"abc")
        with pytest.raises(BlobExists):
            store.resume(KEY)

    def test_a_local_file_has_the_bytes(self, store: BlobStore) -> None:
        put(store, KEY, b"abc")
        file = store.local_file(KEY)
        assert (file is not None) == (Capability.LOCAL_FILES in store.capabilities)
        if file is not None:
            assert file.read_bytes() == b"abc"
        with pytest.raises(BlobNotFound):
            store.local_file("other")

    def test_a_location_is_a_url_of_that_blob_alone(self, store: BlobStore) -> None:
        put(store, KEY, b"abc")
        put(store, "other", b"abcd")
        location = urlsplit(store.location(KEY))
        assert location.scheme
        assert location.username is None
        assert store.location(KEY) == location.geturl() != store.location("other")
        with pytest.raises(BlobNotFound):
            store.location("third")

    def test_usage_counts_what_is_there(self, store: BlobStore) -> None:
        before = store.usage()
        assert (before.blobs, before.size, before.stored) == (0, 0, 0)
        put(store, KEY, b"abc")
        put(store, "other", b"abcd")
        store.create("third").cancel()
        usage = store.usage()
        assert (usage.blobs, usage.size) == (2, 7)
        assert usage.stored <= 7
        assert usage.free is None or usage.free >= 0

    def test_a_blob_is_taken_over_from_its_like(self, store: BlobStore, sibling: BlobStore) -> None:
        put(sibling, "there", b"0123456789")
        assert store.adopt(KEY, sibling, "there") is True
        assert read_all(store, KEY) == read_all(sibling, "there") == b"0123456789"
        with pytest.raises(BlobExists):
            store.adopt(KEY, sibling, "there")
        with pytest.raises(BlobNotFound):
            store.adopt("other", sibling, "missing")
        assert list(store.keys()) == [KEY]
        sibling.delete("there")
        assert read_all(store, KEY) == b"0123456789"

    def test_what_cannot_be_taken_over_changes_nothing(self, store: BlobStore) -> None:
        if isinstance(store, MemoryStore):
            pytest.skip("it takes over from any of its kind")
        other = MemoryStore()
        put(other, KEY, b"abc")
        assert store.adopt(KEY, other, KEY) is False
        assert list(store.keys()) == []
        assert list(store.unfinished()) == []

    def test_equal_blobs_live_and_die_apart(self, store: BlobStore) -> None:
        for key in ("one", "two", "three"):
            put(store, key, b"the same")
        assert store.delete("one") is True
        assert read_all(store, "two") == b"the same"
        put(store, "one", b"the same")
        for key in ("two", "three"):
            assert store.delete(key) is True
        assert read_all(store, "one") == b"the same"
        assert store.usage().stored == 8

    def test_a_presigned_url_is_given_or_not(self, store: BlobStore) -> None:
        put(store, KEY, b"abc")
        url = store.presign(KEY, 60)
        assert (url is not None) == (Capability.PRESIGN in store.capabilities)
        with pytest.raises(BlobNotFound):
            store.presign("other", 60)

    def test_of_writers_of_one_key_one_wins(self, store: BlobStore) -> None:
        outcomes: list[str] = []

        def write(number: int) -> None:
            try:
                writer = store.create(KEY)
                writer.write(bytes([number]) * 100)
                writer.commit()
                outcomes.append("won")
            except BlobExists:
                outcomes.append("late")

        threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["late"] * 5 + ["won"]
        assert len(set(read_all(store, KEY))) == 1


class ReadOnlyContract:
    """For a store that reads. Its class gives `store`, and `key`: what `b"0123456789"` is under."""

    def test_bytes_are_read(self, store: BlobStore, key: str) -> None:
        assert read_all(store, key) == b"0123456789"
        assert store.size(key) == 10

    @pytest.mark.parametrize(
        ("offset", "length", "expected"),
        [(0, 4, b"0123"), (4, None, b"456789"), (4, 100, b"456789"), (10, None, b""),
         (99, 5, b""), (3, 0, b"")],
    )  # fmt: skip
    def test_a_range_ends_where_the_blob_ends(
        self, store: BlobStore, key: str, offset: int, length: int | None, expected: bytes
    ) -> None:
        assert read_all(store, key, offset, length) == expected

    def test_nothing_is_written_or_removed(self, store: BlobStore, key: str) -> None:
        assert Capability.WRITE not in store.capabilities
        for verb in (store.create, store.resume):
            with pytest.raises(StoreReadOnly):
                verb(key)
        assert store.delete(key) is False
        assert store.size(key) == 10
        assert store.adopt(key, MemoryStore(), key) is False
        assert list(store.keys()) == list(store.unfinished()) == []

    def test_what_is_missing_is_not_found(self, store: BlobStore, key: str) -> None:
        for verb in (store.open, store.size, store.location, store.local_file):
            with pytest.raises(BlobNotFound):
                verb(key + "-missing")

    @pytest.mark.parametrize("wrong", ["", "..", "../x", "/etc/passwd", "file:///x", "a b"])
    def test_keys_that_lead_elsewhere_are_refused(self, store: BlobStore, wrong: str) -> None:
        for verb in (store.open, store.size, store.delete, store.location):
            with pytest.raises(KeyInvalid):
                verb(wrong)
