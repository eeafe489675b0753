"""Locations by their URLs: shown, added with and without a look at the data, changed by PATCH."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog_story import Catalog
from kilo_catalog.config import StoreSettings
from kilo_catalog.domain.locations import LocationSettings
from kilo_common.fetch.policy import FetchPolicy
from support.web_files import Web

DATA = b"0123456789"
QCOW2 = b"QFI\xfb\0\0\0\x03" + bytes(4096)
SHA = hashlib.sha512(DATA).hexdigest()
MD5 = hashlib.md5(DATA).hexdigest()
OPEN = LocationSettings(show_direct_url=True, show_multiple_locations=True, do_secure_hash=False)


@pytest.fixture
def web() -> Iterator[Web]:
    made = Web({"/disk": DATA, "/same": DATA, "/other": b"9876543210", "/qcow2": QCOW2})
    yield made
    made.close()


@pytest.fixture
def stores(tmp_path: Path) -> dict[str, StoreSettings]:
    policy = FetchPolicy(allow_loopback=True, ports=())
    return {
        "main": StoreSettings(path=f"{tmp_path}/images"),
        "web": StoreSettings(driver="http", http=policy),
    }


@pytest.fixture
def catalog(open_catalog: Callable[..., Catalog], stores: dict[str, StoreSettings]) -> Catalog:
    return open_catalog(stores=stores)


@pytest.fixture
def trusting(open_catalog: Callable[..., Catalog], stores: dict[str, StoreSettings]) -> Catalog:
    """A catalog that shows locations and takes them unseen."""
    return open_catalog(stores=stores, locations=OPEN)


def add(catalog: Catalog, image_id: str, url: Any, **rest: Any) -> int:
    body = {"url": url, **rest}
    return catalog.request("POST", f"/v2/images/{image_id}/locations", json=body).status_code


def locations(catalog: Catalog, image_id: str) -> Any:
    service = catalog.as_("p1", "service")
    return service.request("GET", f"/v2/images/{image_id}/locations").get_json()


def test_data_on_the_web_becomes_an_image_and_stays_where_it_is(catalog: Catalog, web: Web) -> None:
    image_id = catalog.create_raw()
    assert add(catalog, image_id, f"{web.url}/disk") == 202
    assert catalog.show(image_id)["status"] == "importing"
    assert catalog.work() == 1
    image = catalog.show(image_id)
    assert (image["status"], image["size"], image["virtual_size"]) == ("active", 10, 10)
    assert (image["os_hash_value"], image["checksum"]) == (SHA, MD5)
    assert image["stores"] == "web"
    assert catalog.data(image_id) == DATA
    part = catalog.request("GET", f"/v2/images/{image_id}/file", headers={"Range": "bytes=2-4"})
    assert part.data == b"234"
    assert locations(catalog, image_id) == [
        {"url": f"{web.url}/disk", "metadata": {"store": "web"}}
    ]
    assert catalog.files() == []
    assert catalog.request("DELETE", f"/v2/images/{image_id}").status_code == 204


def test_data_that_is_not_what_was_said_is_refused(catalog: Catalog, web: Web) -> None:
    for said in ({"os_hash_value": "0" * 128, "os_hash_algo": "sha512"}, {"checksum": "0" * 32}):
        image_id = catalog.create_raw()
        assert add(catalog, image_id, f"{web.url}/disk", validation_data=said) == 202
        catalog.work()
        image = catalog.show(image_id)
        assert image["status"] == "queued"
        assert "not what was said" in catalog.tasks(image_id)[0]["message"]
    right = {"os_hash_value": SHA, "os_hash_algo": "sha512", "checksum": MD5}
    assert add(catalog, image_id, f"{web.url}/disk", validation_data=right) == 202
    catalog.work()
    assert catalog.show(image_id)["status"] == "active"


def test_data_of_another_format_is_refused(catalog: Catalog, web: Web) -> None:
    image_id = catalog.create_raw()
    assert add(catalog, image_id, f"{web.url}/qcow2") == 202
    catalog.work()
    assert catalog.show(image_id)["status"] == "queued"


@pytest.mark.parametrize(
    ("url", "rest"),
    [
        (None, {}),
        ("", {}),
        (17, {}),
        ("file:///etc/passwd", {}),
        ("http://169.254.169.254/latest", {}),
        ("http://127.0.0.1:22/x", {}),
        ("x" * 3000, {}),
        ("http://[broken/x", {}),
        ("DISK", {"size": 10}),
        ("DISK", {"validation_data": []}),
        ("DISK", {"validation_data": {"os_hash_algo": "md5"}}),
        ("DISK", {"validation_data": {"os_hash_value": "xyz"}}),
        ("DISK", {"metadata": {"a": 1}}),
        ("MISSING", {}),
    ],
)
def test_what_cannot_be_a_location_is_refused(
    catalog: Catalog, web: Web, url: Any, rest: Any
) -> None:
    image_id = catalog.create_raw()
    named = {"DISK": f"{web.url}/disk", "MISSING": f"{web.url}/missing"}
    status = add(catalog.as_("p1", "admin"), image_id, named.get(url, url), **rest)
    assert status == (503 if url == "http://127.0.0.1:22/x" else 400)
    assert catalog.show(image_id)["status"] == "queued"


def test_only_queued_images_take_a_location(catalog: Catalog, web: Web) -> None:
    assert add(catalog, catalog.create_active(), f"{web.url}/disk") == 409
    assert add(catalog, str(catalog.create()["id"]), f"{web.url}/disk") == 400
    assert catalog.request("POST", "/v2/images/x/locations", json={"url": "x"}).status_code == 404


def test_the_import_api_takes_locations_too(catalog: Catalog, web: Web) -> None:
    image_id = catalog.create_raw()
    assert catalog.import_(image_id, "location", uri=f"{web.url}/disk").status_code == 202
    catalog.work()
    assert catalog.show(image_id)["stores"] == "web"


def test_without_a_store_for_it_the_web_is_not_read(
    open_catalog: Callable[..., Catalog], web: Web
) -> None:
    plain = open_catalog()
    image_id = plain.create_raw()
    assert add(plain, image_id, f"{web.url}/disk") == 400
    assert plain.import_(image_id, "location", uri=f"{web.url}/disk").status_code == 400


def test_a_service_may_name_a_blob_that_no_image_has(catalog: Catalog) -> None:
    store = catalog.folder / "images" / "blobs"
    (store / "made-elsewhere").write_bytes(DATA)
    url = (store / "made-elsewhere").as_uri()
    image_id = catalog.create_raw()
    assert add(catalog, image_id, url) == 403
    service = catalog.as_("p1", "service")
    assert add(service, image_id, url) == 202
    catalog.work()
    assert catalog.data(image_id) == DATA
    assert add(service, catalog.create_raw(), url) == 409
    assert catalog.request("DELETE", f"/v2/images/{image_id}").status_code == 204
    assert catalog.files() == []


def test_a_blob_that_proves_wrong_is_left_where_it_was(catalog: Catalog) -> None:
    blob = catalog.folder / "images" / "blobs" / "made-elsewhere"
    blob.write_bytes(DATA)
    image_id = catalog.create_raw()
    said = {"os_hash_value": "0" * 128}
    assert add(catalog.as_("p1", "service"), image_id, blob.as_uri(), validation_data=said) == 202
    catalog.work()
    assert catalog.show(image_id)["status"] == "queued"
    assert blob.read_bytes() == DATA


def test_without_secure_hash_the_client_is_believed(trusting: Catalog, web: Web) -> None:
    image_id = trusting.create_raw()
    assert add(trusting, image_id, f"{web.url}/disk", validation_data={"os_hash_value": SHA}) == 202
    image = trusting.show(image_id)
    assert (image["status"], image["size"], image["os_hash_value"]) == ("active", 10, SHA)
    assert image["checksum"] is None
    assert image["direct_url"] == f"{web.url}/disk"
    assert image["locations"] == [{"url": f"{web.url}/disk", "metadata": {"store": "web"}}]
    assert trusting.data(image_id) == DATA


def test_locations_are_hidden_unless_the_settings_show_them(catalog: Catalog) -> None:
    image = catalog.show(catalog.create_active())
    assert "locations" not in image
    assert "direct_url" not in image
    steps = [{"op": "remove", "path": "/locations/0"}]
    assert catalog.patch(image["id"], steps).status_code == 403


def test_a_list_of_images_shows_locations(trusting: Catalog) -> None:
    image_id = trusting.create_active()
    (found,) = trusting.request("GET", "/v2/images").get_json()["images"]
    path = next((trusting.folder / "images" / "blobs").iterdir())
    assert found["id"] == image_id
    assert found["direct_url"] == found["locations"][0]["url"] == Path(path).as_uri()


def test_locations_are_added_and_removed_by_patch(trusting: Catalog, web: Web) -> None:
    image_id = trusting.create_raw()
    entry = {"url": f"{web.url}/disk", "metadata": {"note": "first"}}
    answer = trusting.patch(image_id, [{"op": "add", "path": "/locations/-", "value": entry}])
    assert answer.status_code == 200, answer.text
    assert answer.get_json()["status"] == "active"
    assert answer.get_json()["locations"][0]["metadata"] == {"note": "first", "store": "web"}
    more = {"url": f"{web.url}/same", "metadata": {}}
    added = trusting.patch(image_id, [{"op": "add", "path": "/locations/0", "value": more}])
    assert [each["url"] for each in added.get_json()["locations"]] == [more["url"], entry["url"]]
    entry["metadata"] = {"note": "changed"}
    replaced = trusting.patch(
        image_id, [{"op": "replace", "path": "/locations", "value": [entry, more]}]
    ).get_json()
    assert [each["url"] for each in replaced["locations"]] == [entry["url"], more["url"]]
    assert replaced["locations"][0]["metadata"]["note"] == "changed"
    removed = trusting.patch(image_id, [{"op": "remove", "path": "/locations/0"}])
    assert [each["url"] for each in removed.get_json()["locations"]] == [more["url"]]
    assert trusting.patch(image_id, [{"op": "remove", "path": "/locations/0"}]).status_code == 403
    assert trusting.data(image_id) == DATA


def test_a_location_with_another_size_is_no_copy(trusting: Catalog, web: Web) -> None:
    for data in (b"", b"012345678"):
        image_id = trusting.create_active(data)
        entry = {"url": f"{web.url}/disk", "metadata": {}}
        answer = trusting.patch(image_id, [{"op": "add", "path": "/locations/-", "value": entry}])
        assert answer.status_code == 409


def test_a_copy_that_is_taken_out_of_the_list_is_removed(trusting: Catalog, web: Web) -> None:
    image_id = trusting.create_active()
    entry = {"url": f"{web.url}/disk", "metadata": {}}
    steps = [{"op": "replace", "path": "/locations", "value": [entry]}]
    assert trusting.patch(image_id, steps).status_code == 200
    assert trusting.files() == []
    assert trusting.data(image_id) == DATA


ADD = {"op": "add", "path": "/locations/-"}
WRONG = {"os_hash_value": "0" * 128}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([ADD | {"value": {"url": "OTHER", "metadata": {}, "validation_data": WRONG}}], 409),
        ([ADD | {"value": {"url": "OTHER", "metadata": {}}}], 200),
        ([ADD | {"value": {"url": "ftp://x/y", "metadata": {}}}], 403),
        ([ADD | {"value": {"url": "http://10.0.0.1/", "metadata": {}}}], 400),
        ([ADD | {"value": {"metadata": {}}}], 400),
        ([{"op": "replace", "path": "/locations", "value": []}], 403),
        ([{"op": "replace", "path": "/locations", "value": "x"}], 400),
        ([{"op": "replace", "path": "/locations/0", "value": {}}], 400),
        ([{"op": "remove", "path": "/locations"}], 400),
        ([{"op": "remove", "path": "/locations/-"}], 400),
        ([{"op": "remove", "path": "/locations/7"}], 404),
        ([{"op": "test", "path": "/locations/0", "value": {}}], 400),
        ([{"op": "remove", "path": "/locations/x"}], 400),
        ([{"op": "remove", "path": "/locations/0"}, {"op": "remove", "path": "/name"}], 400),
    ],
)
def test_bad_changes_of_locations_change_nothing(
    trusting: Catalog, web: Web, steps: Any, expected: int
) -> None:
    text = json.dumps(steps).replace("OTHER", f"{web.url}/other")
    image_id = trusting.create_active()
    before = trusting.show(image_id)
    answer = trusting.patch(image_id, json.loads(text))
    assert answer.status_code == expected, answer.text
    assert (trusting.show(image_id) == before) == (expected != 200)
