"""What every blob store keeps to. A driver's test class gives a `store` fixture, and the suite
checks after each test that nothing was left behind unfinished."""

import threading
from collections.abc import Iterator

import pytest

from kilo_catalog.stores.base import (
    BlobExists,
    BlobNotFound,
    BlobStore,
    KeyInvalid,
    StoreUnavailable,
)

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


class BlobStoreContract:
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
        for verb in (store.create, store.open, store.size, store.delete):
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
