"""The RBD driver against what stands in for Ceph's bindings."""

import sys
import uuid
from collections.abc import Callable

import pytest

from contracts.blob_store import KEY, BlobStoreContract, put
from kilo_catalog.stores.base import BlobStore, StoreUnavailable
from kilo_catalog.stores.registry import STORES, open_store
from kilo_catalog.stores.settings import RbdSettings
from kilo_common.errors import DriverUnavailable
from support.ceph import Pool, Rados, modules

Opener = Callable[[RbdSettings], BlobStore]


@pytest.fixture
def open_rbd(monkeypatch: pytest.MonkeyPatch) -> Opener:
    for name, module in modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "kilo_catalog.stores.rbd", raising=False)
    STORES._loaded.pop("rbd", None)
    return lambda settings: open_store("rbd", rbd=settings)


class TestRbd(BlobStoreContract):
    @pytest.fixture
    def store(self, open_rbd: Opener) -> BlobStore:
        return open_rbd(RbdSettings(pool=uuid.uuid4().hex))

    @pytest.fixture
    def sibling(self, open_rbd: Opener) -> BlobStore:
        return open_rbd(RbdSettings(pool=uuid.uuid4().hex))


def test_a_whole_blob_has_a_protected_snapshot_for_clones(open_rbd: Opener) -> None:
    store = open_rbd(RbdSettings(pool="images"))
    put(store, KEY, b"abc")
    assert Pool(Rados.pools["images"]).images[KEY].snaps == {"snap": True}
    assert store.location(KEY).endswith(f"/images/{KEY}/snap")
    assert store.delete(KEY)


def test_a_cluster_that_is_not_there_is_unavailable(open_rbd: Opener) -> None:
    with pytest.raises(StoreUnavailable):
        open_rbd(RbdSettings(config_file="/missing")).size(KEY)


def test_without_the_bindings_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rados", None)
    monkeypatch.delitem(sys.modules, "kilo_catalog.stores.rbd", raising=False)
    STORES._loaded.pop("rbd", None)
    with pytest.raises(DriverUnavailable, match="of your Ceph"):
        open_store("rbd")
