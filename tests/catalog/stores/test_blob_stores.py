"""Every blob store against the one contract, and what is the file system's own."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.blob_store import KEY, BlobStoreContract, put
from kilo_catalog.stores.base import BlobStore, StoreUnavailable
from kilo_catalog.stores.filesystem import FilesystemStore
from kilo_catalog.stores.memory import MemoryStore
from kilo_catalog.stores.registry import open_store
from kilo_common.errors import ConfigInvalid, DriverUnknown


class TestMemory(BlobStoreContract):
    @pytest.fixture
    def store(self) -> BlobStore:
        return MemoryStore()

    @pytest.fixture
    def sibling(self) -> BlobStore:
        return MemoryStore()


class TestFilesystem(BlobStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> BlobStore:
        return FilesystemStore(str(tmp_path / "images"))

    @pytest.fixture
    def sibling(self, tmp_path: Path) -> BlobStore:
        return FilesystemStore(str(tmp_path / "staging"))


class TestSeveralFolders(TestFilesystem):
    @pytest.fixture
    def store(self, tmp_path: Path) -> BlobStore:
        return FilesystemStore(folders={str(tmp_path / "a"): 1, str(tmp_path / "b"): 1})


class TestDeduplicatingFilesystem(TestFilesystem):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[BlobStore]:
        yield FilesystemStore(str(tmp_path / "images"), deduplicate=True)
        left = {path.name for path in (tmp_path / "images").rglob("*") if not path.is_dir()}
        assert left <= {".lock"}


def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    store = FilesystemStore(str(tmp_path / "images"))
    put(store, KEY, b"secret")
    for folder, _folders, files in os.walk(tmp_path / "images"):
        assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700
        for file in files:
            assert stat.S_IMODE((Path(folder) / file).stat().st_mode) == 0o600


def test_the_leftover_of_a_death_after_commit_does_not_cost_the_blob(tmp_path: Path) -> None:
    store = FilesystemStore(str(tmp_path))
    put(store, KEY, b"abc")
    os.link(tmp_path / "blobs" / KEY, tmp_path / "uploads" / KEY)
    assert list(store.unfinished()) == []
    assert store.size(KEY) == 3
    assert not (tmp_path / "uploads" / KEY).exists()


def test_a_file_that_was_cut_short_is_noticed(tmp_path: Path) -> None:
    store = FilesystemStore(str(tmp_path))
    put(store, KEY, b"0123456789")
    reader = store.open(KEY)
    os.truncate(tmp_path / "blobs" / KEY, 0)
    with pytest.raises(StoreUnavailable):
        reader.read(10)
    reader.close()


def test_a_folder_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigInvalid, match="cannot be made"):
        FilesystemStore(str(tmp_path / "file"))
    with pytest.raises(ConfigInvalid, match="needs a path"):
        open_store("filesystem")


def test_a_misspelt_driver_is_suggested() -> None:
    with pytest.raises(DriverUnknown, match="filesystem"):
        open_store("filesytem")
