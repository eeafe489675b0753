"""The cache of a node: images whose data is far away are read from afar once."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from catalog_story import Catalog
from kilo_catalog.config import CacheSettings
from kilo_catalog.stores.base import BlobReader, StoreUnavailable
from kilo_catalog.stores.memory import MemoryStore
from kilo_catalog.tasks.cache_keeper import CacheKeeper

DATA = bytes(range(256)) * 4096  # 1 MiB: half of a block
FAR = "second"
"""The store that has no files."""


def admin(catalog: Catalog) -> Catalog:
    return catalog.as_(catalog.project, "admin,member")


def keeper_of(catalog: Catalog) -> CacheKeeper:
    return next(each for each in catalog.api.services if isinstance(each, CacheKeeper))


def far(catalog: Catalog, data: bytes = DATA) -> str:
    image_id = catalog.create_raw()
    assert catalog.put(image_id, data, **{"x-image-meta-store": FAR}).status_code == 204
    return image_id


def download(catalog: Catalog, image_id: str, **headers: str) -> bytes:
    answer = catalog.request("GET", f"/v2/images/{image_id}/file", headers=headers)
    data = bytes(answer.data)
    answer.close()
    return data


def listing(catalog: Catalog) -> dict[str, Any]:
    found: dict[str, Any] = admin(catalog).request("GET", "/v2/cache").get_json()
    return found


def cached(catalog: Catalog) -> list[str]:
    return [each["image_id"] for each in listing(catalog)["cached_images"]]


def blobs(catalog: Catalog) -> list[str]:
    return [each.name for each in (catalog.folder / "cache").rglob("*") if each.is_file()]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys that were read from afar."""
    found: list[str] = []
    open_ = MemoryStore.open

    def count(store: MemoryStore, key: str, offset: int = 0, length: int | None = None) -> Any:
        found.append(key)
        return open_(store, key, offset, length)

    monkeypatch.setattr(MemoryStore, "open", count)
    return found


def test_what_is_downloaded_twice_is_read_from_afar_once(
    catalog: Catalog, reads: list[str]
) -> None:
    image_id = far(catalog)
    assert download(catalog, image_id) == DATA
    catalog.clock.advance(10)
    assert download(catalog, image_id) == DATA
    assert download(catalog, image_id, Range="bytes=10-19") == DATA[10:20]
    assert len(reads) == 1
    (entry,) = listing(catalog)["cached_images"]
    assert (entry["image_id"], entry["hits"], entry["size"]) == (image_id, 2, len(DATA))
    assert entry["last_accessed"] - entry["last_modified"] == 10
    assert listing(catalog)["queued_images"] == []
    nodes = admin(catalog).request("GET", f"/v2/cache/nodes/{image_id}").get_json()
    assert [each.startswith("http://") for each in nodes] == [True]


def test_what_is_in_a_file_here_is_not_cached(catalog: Catalog) -> None:
    assert download(catalog, catalog.create_active(DATA)) == DATA
    assert (cached(catalog), blobs(catalog)) == ([], [])


@pytest.mark.parametrize("wanted", ["bytes=0-99", "bytes=-5"])
def test_a_part_is_no_reason_to_cache_the_whole(catalog: Catalog, wanted: str) -> None:
    image_id = far(catalog)
    download(catalog, image_id, Range=wanted)
    assert (cached(catalog), blobs(catalog)) == ([], [])


def test_a_client_that_goes_away_leaves_nothing_half(catalog: Catalog, reads: list[str]) -> None:
    image_id = far(catalog, DATA * 5)
    answer = catalog.request("GET", f"/v2/images/{image_id}/file", buffered=False)
    next(iter(answer.response))
    answer.close()
    assert (cached(catalog), blobs(catalog)) == ([], [])
    assert download(catalog, image_id) == DATA * 5
    assert cached(catalog) == [image_id]
    assert len(reads) == 2


def test_damaged_data_is_not_kept(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    image_id = far(catalog)
    open_ = MemoryStore.open

    class Damaged(BlobReader):
        def __init__(self, inner: BlobReader) -> None:
            self.inner = inner

        def read(self, size: int) -> bytes:
            return self.inner.read(size).replace(b"\x00\x01", b"\x00\x00")

        def close(self) -> None:
            self.inner.close()

    monkeypatch.setattr(MemoryStore, "open", lambda *args: Damaged(open_(*args)))
    download(catalog, image_id)
    assert (cached(catalog), blobs(catalog)) == ([], [])


def test_an_image_is_cached_before_it_is_asked_for(catalog: Catalog, reads: list[str]) -> None:
    near, distant = catalog.create_active(b"near"), far(catalog)
    for image_id in (near, distant):
        answer = admin(catalog).request("PUT", f"/v2/cache/{image_id}")
        assert (answer.status_code, answer.data) == (202, b"")
    assert sorted(listing(catalog)["queued_images"]) == sorted((near, distant))
    keeper_of(catalog).run_once()
    assert sorted(cached(catalog)) == sorted((near, distant))
    assert listing(catalog)["queued_images"] == []
    assert download(catalog, distant) == DATA
    assert len(reads) == 1
    assert admin(catalog).request("PUT", f"/v2/cache/{distant}").status_code == 202
    assert listing(catalog)["queued_images"] == []


def test_what_was_used_longest_ago_makes_room(open_catalog: Callable[..., Catalog]) -> None:
    folder = open_catalog().folder
    catalog = open_catalog(cache=CacheSettings(path=f"{folder}/cache", size=3 * len(DATA)))
    first, second, third = (far(catalog) for _ in range(3))
    for image_id in (first, second, third, first):
        catalog.clock.advance(1)
        assert download(catalog, image_id) == DATA
        listing(catalog)  # which writes the hits down
    catalog.clock.advance(1)
    fourth = far(catalog)
    download(catalog, fourth)
    assert cached(catalog) == [third, first, fourth]
    assert len(blobs(catalog)) == 3
    huge = far(catalog, DATA * 4)
    assert download(catalog, huge) == DATA * 4
    assert huge not in cached(catalog)


def test_new_data_of_an_image_is_no_hit(catalog: Catalog) -> None:
    image_id = far(catalog)
    download(catalog, image_id)
    admin(catalog).import_(image_id, "copy-image", stores=["main"])
    catalog.work()
    path = f"/v2/stores/{FAR}/{image_id}"
    assert admin(catalog).request("DELETE", path).status_code == 204
    admin(catalog).request("GET", "/v2/cache")
    keeper_of(catalog).run_once()
    assert download(catalog, image_id) == DATA


def test_a_deleted_image_leaves_the_cache(catalog: Catalog) -> None:
    image_id = far(catalog)
    download(catalog, image_id)
    assert catalog.request("DELETE", f"/v2/images/{image_id}").status_code == 204
    assert admin(catalog).request("POST", "/v2/cache/clean").status_code == 204
    assert (cached(catalog), blobs(catalog)) == ([], [])


def test_a_lost_file_is_found_out(catalog: Catalog, reads: list[str]) -> None:
    image_id = far(catalog)
    download(catalog, image_id)
    for each in (catalog.folder / "cache").rglob("*"):
        if each.is_file():
            each.unlink()
    assert download(catalog, image_id) == DATA
    assert download(catalog, image_id) == DATA
    assert len(reads) == 2


def test_a_file_without_a_record_is_taken_away(catalog: Catalog) -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    (catalog.folder / "cache" / "blobs" / digest).write_bytes(b"left by a process that died")
    keeper_of(catalog).run_once()
    assert blobs(catalog) == []


def test_a_store_that_is_down_keeps_an_image_in_line(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = far(catalog)
    admin(catalog).request("PUT", f"/v2/cache/{image_id}")

    def fail(*_args: Any) -> Any:
        raise StoreUnavailable("The store is down")

    monkeypatch.setattr(MemoryStore, "open", fail)
    keeper_of(catalog).run_once()
    assert listing(catalog)["queued_images"] == [image_id]
    monkeypatch.undo()
    keeper_of(catalog).run_once()
    assert cached(catalog) == [image_id]


@pytest.mark.parametrize(
    ("target", "status", "left"),
    [("cache", 204, (0, 1)), ("queue", 204, (1, 0)), ("both", 204, (0, 0)), ("", 204, (0, 0)),
     ("all", 400, (1, 1))],
)  # fmt: skip
def test_cache_and_line_are_cleared(
    catalog: Catalog, target: str, status: int, left: tuple[int, int]
) -> None:
    first, second = far(catalog), far(catalog)
    download(catalog, first)
    admin(catalog).request("PUT", f"/v2/cache/{second}")
    headers = {"x-image-cache-clear-target": target} if target else {}
    answer = admin(catalog).request("DELETE", "/v2/cache", headers=headers)
    assert answer.status_code == status
    found = listing(catalog)
    assert (len(found["cached_images"]), len(found["queued_images"])) == left
    assert len(blobs(catalog)) == left[0]


def test_one_image_is_taken_out(catalog: Catalog) -> None:
    image_id = far(catalog)
    path = f"/v2/cache/{image_id}"
    assert admin(catalog).request("DELETE", path).status_code == 404
    download(catalog, image_id)
    assert admin(catalog).request("DELETE", path).status_code == 204
    assert (cached(catalog), blobs(catalog)) == ([], [])


def test_what_cannot_be_cached_is_refused(
    catalog: Catalog, open_catalog: Callable[..., Catalog]
) -> None:
    ask = admin(catalog).request
    assert ask("PUT", f"/v2/cache/{catalog.create_raw()}").status_code == 400
    assert ask("PUT", "/v2/cache/nothing").status_code == 404
    assert ask("GET", "/v2/cache/nodes/nothing").status_code == 404
    without = open_catalog(cache=CacheSettings(path=""))
    assert admin(without).request("GET", "/v2/cache").status_code == 404
    image_id = far(without)
    assert download(without, image_id) == DATA
