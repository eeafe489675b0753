"""Blobs on their way between stores and to their users."""

import hashlib
from pathlib import Path

import pytest

from contracts.blob_store import KEY, put, read_all
from kilo_catalog.stores.base import BlobNotFound, BlobStore, StoreUnavailable
from kilo_catalog.stores.filesystem import FilesystemStore
from kilo_catalog.stores.memory import MemoryStore
from kilo_catalog.stores.transfer import (
    DataDamaged,
    Fingerprint,
    copy,
    fetch_to,
    fingerprint,
    hand_over,
    move,
    verify,
)

DATA = bytes(range(256)) * 100
RIGHT = Fingerprint(len(DATA), "sha512", hashlib.sha512(DATA).hexdigest())
WRONG = Fingerprint(len(DATA), "sha512", "0" * 128)


@pytest.fixture
def files(tmp_path: Path) -> BlobStore:
    store = FilesystemStore(str(tmp_path / "files"))
    put(store, KEY, DATA)
    return store


@pytest.fixture
def memory() -> BlobStore:
    store = MemoryStore()
    put(store, KEY, DATA)
    return store


def test_a_blob_is_verified_against_what_was_recorded(files: BlobStore) -> None:
    seen: list[int] = []
    verify(files, KEY, RIGHT, seen.append)
    assert seen == [len(DATA)]
    assert fingerprint(files, KEY, "md5").digest == hashlib.md5(DATA).hexdigest()
    with pytest.raises(DataDamaged):
        verify(files, KEY, WRONG)


def test_a_copy_is_shared_where_it_can_be(files: BlobStore, tmp_path: Path) -> None:
    target = FilesystemStore(str(tmp_path / "target"))
    assert copy(files, KEY, target, "copy") == len(DATA)
    ours, theirs = files.local_file(KEY), target.local_file("copy")
    assert ours is not None
    assert theirs is not None
    assert ours.samefile(theirs)


def test_a_copy_by_hand_is_compared_on_the_way(memory: BlobStore, files: BlobStore) -> None:
    seen: list[int] = []
    assert copy(memory, KEY, files, "copy", expected=RIGHT, progress=seen.append) == len(DATA)
    assert seen[-1] == len(DATA)
    with pytest.raises(DataDamaged):
        copy(memory, KEY, files, "other", expected=WRONG)
    assert sorted(files.keys()) == sorted([KEY, "copy"])
    assert list(files.unfinished()) == []


def test_a_move_leaves_nothing_behind(memory: BlobStore, files: BlobStore) -> None:
    move(memory, KEY, files, "moved", expected=RIGHT)
    assert read_all(files, "moved") == DATA
    with pytest.raises(BlobNotFound):
        memory.size(KEY)


def test_a_move_that_fails_keeps_the_blob(memory: BlobStore, files: BlobStore) -> None:
    with pytest.raises(DataDamaged):
        move(memory, KEY, files, "moved", expected=WRONG)
    assert read_all(memory, KEY) == DATA


def test_a_local_file_is_handed_over(files: BlobStore, memory: BlobStore, tmp_path: Path) -> None:
    target = tmp_path / "disk.raw"
    assert hand_over(files, KEY, target) is True
    assert target.read_bytes() == DATA
    assert hand_over(memory, KEY, tmp_path / "other") is False
    assert not (tmp_path / "other").exists()
    with pytest.raises(StoreUnavailable):
        hand_over(files, KEY, tmp_path / "no" / "such" / "folder")


def test_a_writable_file_is_apart_from_the_blob(files: BlobStore, tmp_path: Path) -> None:
    target = tmp_path / "disk.raw"
    fetch_to(files, KEY, target, RIGHT, writable=True)
    target.write_bytes(b"changed")
    assert read_all(files, KEY) == DATA


@pytest.mark.parametrize("kind", ["files", "memory"])
def test_what_is_fetched_is_verified(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    store: BlobStore = request.getfixturevalue(kind)
    target = tmp_path / "disk.raw"
    fetch_to(store, KEY, target, RIGHT)
    assert target.read_bytes() == DATA
    target.unlink()
    with pytest.raises(DataDamaged):
        fetch_to(store, KEY, target, WRONG)
    assert {path.name for path in tmp_path.iterdir()} <= {"files"}
