"""Equal blobs in one file: the same story told to a dictionary, and by threads at once."""

import os
import threading
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.blob_store import put, read_all
from kilo_catalog.stores.filesystem import FilesystemStore

KEYS = [f"key-{number}" for number in range(5)]
CONTENTS = [b"", b"one", b"two and more"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def inodes(folder: Path) -> int:
    return len({path.stat().st_ino for path in (folder / "blobs").iterdir()})


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from([None, *CONTENTS]))))
def test_it_is_like_a_dictionary_that_keeps_each_value_once(
    tmp_path: Path, steps: list[tuple[str, bytes | None]]
) -> None:
    store = FilesystemStore(str(tmp_path), deduplicate=True)
    model: dict[str, bytes] = {}
    for key, content in steps:
        if content is None or key in model:
            assert store.delete(key) == (model.pop(key, None) is not None)
        else:
            put(store, key, content)
            model[key] = content
        assert {each: read_all(store, each) for each in list(store.keys())} == model
        assert inodes(tmp_path) == len(set(model.values()))
        assert store.usage().stored == sum(map(len, set(model.values())))
    for key in model:
        store.delete(key)
    assert names(tmp_path / "content") in ([], [".lock"])
    assert names(tmp_path / "digests") == []


def test_threads_that_come_and_go_lose_nothing_and_leave_nothing(tmp_path: Path) -> None:
    store = FilesystemStore(str(tmp_path), deduplicate=True)
    faults: list[Exception] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                key = f"k{number}"
                put(store, key, b"equal" if turn % 3 else b"other")
                assert read_all(store, key) == (b"equal" if turn % 3 else b"other")
                if turn < 19:
                    assert store.delete(key)
        except Exception as fault:  # noqa: BLE001 - a thread's edge; the test raises it
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert inodes(tmp_path) == 1
    assert len(names(tmp_path / "content")) == 2
    for key in list(store.keys()):
        assert read_all(store, key) == b"equal"
        store.delete(key)
    assert names(tmp_path / "content") == [".lock"]


def test_blobs_that_were_there_before_stay_as_they_are(tmp_path: Path) -> None:
    put(FilesystemStore(str(tmp_path)), "old", b"equal")
    store = FilesystemStore(str(tmp_path), deduplicate=True)
    put(store, "new", b"equal")
    assert inodes(tmp_path) == 2
    plain = FilesystemStore(str(tmp_path))
    for key in ("old", "new"):
        assert plain.delete(key)
    list(store.unfinished())
    assert names(tmp_path / "content") == [".lock"]


def test_damaged_content_is_not_shared(tmp_path: Path) -> None:
    store = FilesystemStore(str(tmp_path), deduplicate=True)
    put(store, "one", b"equal")
    os.truncate(tmp_path / "blobs" / "one", 2)
    put(store, "two", b"equal")
    assert read_all(store, "two") == b"equal"


def test_a_file_adopted_by_another_store_does_not_keep_content_for_ever(tmp_path: Path) -> None:
    store = FilesystemStore(str(tmp_path / "a"), deduplicate=True)
    other = FilesystemStore(str(tmp_path / "b"))
    put(store, "one", b"equal")
    assert other.adopt("two", store, "one")
    store.delete("one")
    other.delete("two")
    assert list(store.unfinished()) == []
    assert names(tmp_path / "a" / "content") == [".lock"]
