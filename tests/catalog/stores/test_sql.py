"""The driver for databases, on each of them."""

from pathlib import Path

import pytest

from contracts.blob_store import KEY, BlobStoreContract, put
from kilo_catalog.stores.base import BlobStore, StoreUnavailable
from kilo_catalog.stores.registry import open_store
from kilo_catalog.stores.sql import SqlStore
from kilo_common.errors import ConfigInvalid


class TestSqlite(BlobStoreContract):
    LARGE = 1 << 20

    @pytest.fixture
    def store(self, tmp_path: Path) -> BlobStore:
        return open_store("sql", url=f"sqlite:///{tmp_path}/blobs.db")


@pytest.mark.services
class TestServers:
    """The verbs that differ between databases, on servers; the contract's whole is SQLite's."""

    CONTRACT = BlobStoreContract()

    @pytest.fixture
    def store(self, service_url: str) -> BlobStore:
        return SqlStore(service_url)

    def test_the_contract_holds(self, store: BlobStore) -> None:
        tests = self.CONTRACT
        for check in (
            tests.test_committed_bytes_are_read_back,
            tests.test_large_blobs_are_read_back_whole_and_in_part,
            tests.test_a_suspended_blob_is_gone_on_with,
            tests.test_of_writers_of_one_key_one_wins,
            tests.test_delete_removes_what_is_unfinished,
            tests.test_usage_counts_what_is_there,
        ):
            check(store)
            for key in [*store.keys(), *(each.key for each in store.unfinished())]:
                store.delete(key)

    def test_keys_differ_by_case(self, store: BlobStore) -> None:
        put(store, "a", b"1")
        put(store, "A", b"22")
        assert (store.size("a"), store.size("A")) == (1, 2)


def test_another_process_finds_the_blobs(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/blobs.db"
    put(SqlStore(url), KEY, b"abc")
    assert SqlStore(url).size(KEY) == 3


def test_a_writer_whose_blob_was_begun_anew_writes_no_more(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path}/blobs.db")
    late = store.create(KEY)
    store.delete(KEY)
    writer = store.create(KEY)
    with pytest.raises(StoreUnavailable):
        late.write(bytes(1 << 20))
    late.cancel()
    writer.write(b"abc")
    assert writer.commit() == 3


def test_a_database_is_needed() -> None:
    with pytest.raises(ConfigInvalid, match="needs a database"):
        open_store("sql")
