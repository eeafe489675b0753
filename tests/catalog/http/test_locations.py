"""The copies of an image's data in several stores."""

from collections.abc import Callable

import pytest

from catalog_story import Catalog
from kilo_catalog.domain.image import Location
from kilo_catalog.domain.locations import Ranking, Strategy


def copied(catalog: Catalog, store: str = "second") -> str:
    """An active image with a copy of its data in one store more."""
    image_id = catalog.create_active()
    admin = catalog.as_("p1", "admin")
    assert admin.import_(image_id, "copy-image", stores=[store]).status_code == 202
    catalog.work()
    assert set(catalog.show(image_id)["stores"].split(",")) == {"main", store}
    return image_id


def leave(catalog: Catalog, store: str, image_id: str) -> int:
    admin = catalog.as_("p9", "admin")
    return admin.request("DELETE", f"/v2/stores/{store}/{image_id}").status_code


def test_a_copy_goes_and_the_other_stays(catalog: Catalog) -> None:
    image_id = copied(catalog)
    assert leave(catalog, "main", image_id) == 204
    assert catalog.show(image_id)["stores"] == "second"
    assert catalog.files() == []
    assert catalog.data(image_id) == b"0123456789"
    assert leave(catalog, "main", image_id) == 404


def test_the_last_copy_stays(catalog: Catalog) -> None:
    image_id = catalog.create_active()
    assert leave(catalog, "main", image_id) == 403
    assert catalog.data(image_id) == b"0123456789"


def test_what_is_not_there_cannot_be_removed(catalog: Catalog) -> None:
    image_id = catalog.create_active()
    assert leave(catalog, "nowhere", image_id) == 404
    assert leave(catalog, "second", image_id) == 404
    assert leave(catalog, "second", "00000000-0000-4000-8000-000000000000") == 404
    assert leave(catalog, "main", catalog.create_raw()) == 409


def test_no_copy_is_removed_while_a_task_is_at_work(catalog: Catalog) -> None:
    image_id = catalog.create_active()
    catalog.as_("p1", "admin").import_(image_id, "copy-image", stores=["second"])
    assert leave(catalog, "main", image_id) == 409
    catalog.work()
    assert leave(catalog, "main", image_id) == 204


def test_the_store_of_an_upload_is_chosen_by_a_header(catalog: Catalog) -> None:
    image_id = catalog.create_raw()
    assert catalog.put(image_id, b"abc", x_image_meta_store="nowhere").status_code == 400
    assert catalog.show(image_id)["status"] == "queued"
    assert catalog.put(image_id, b"abc", x_image_meta_store="second").status_code == 204
    assert catalog.show(image_id)["stores"] == "second"
    assert catalog.files() == []


def test_a_store_that_is_not_offered_takes_no_uploads(
    open_catalog: Callable[..., Catalog],
) -> None:
    catalog = open_catalog(staging_store="second")
    image_id = catalog.create_raw()
    assert catalog.put(image_id, b"abc", x_image_meta_store="second").status_code == 400


@pytest.mark.parametrize("prefer", ["second", "nowhere,second", "nowhere", ""])
def test_a_reader_may_prefer_a_store(catalog: Catalog, prefer: str) -> None:
    image_id = copied(catalog)
    for path in (catalog.folder / "images" / "blobs").iterdir():
        path.write_bytes(b"9876543210")
    answer = catalog.request("GET", f"/v2/images/{image_id}/file?prefer={prefer}")
    expected = b"0123456789" if "second" in prefer else b"9876543210"
    assert answer.data == expected


def test_the_stores_are_described(catalog: Catalog) -> None:
    catalog.create_active()
    admin = catalog.as_("p9", "admin")
    plain = admin.request("GET", "/v2/info/stores").get_json()["stores"]
    assert [each["id"] for each in plain] == ["main", "second"]
    assert plain[0]["default"] == "true"
    main = admin.request("GET", "/v2/info/stores/detail").get_json()["stores"][0]
    assert (main["type"], main["weight"], "usage" in main) == ("filesystem", 0, False)
    assert "local-files" in main["properties"]["capabilities"]
    main, second = admin.request("GET", "/v2/info/stores/detail?usage=true").get_json()["stores"]
    assert (main["usage"]["blobs"], main["usage"]["size"]) == (1, 10)
    assert second["usage"] == {"blobs": 0, "size": 0, "stored": 0, "free": None}


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (Strategy.LOCATION_ORDER, ["slow", "disk", "web"]),
        (Strategy.STORE_WEIGHT, ["disk", "web", "slow"]),
        (Strategy.STORE_TYPE, ["web", "disk", "slow"]),
    ],
)
def test_the_first_copy_follows_the_strategy(strategy: Strategy, expected: list[str]) -> None:
    ranking = Ranking(
        strategy,
        {"disk": 5, "web": 5, "slow": 1},
        {"disk": "filesystem", "web": "http", "slow": "s3"},
        ("http", "filesystem"),
    )
    copies = [Location(store, "key") for store in ("slow", "disk", "web")]
    assert [each.store for each in ranking.sort(copies)] == expected
    assert ranking.sort(copies, ["slow"])[0].store == "slow"
