"""Images that have data are converted: in place, or into a new image."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from catalog_story import Catalog, Heard
from kilo_catalog.config import ImportSettings
from kilo_catalog.domain.quotas import Quotas
from kilo_catalog.imaging.built_in import BuiltIn
from kilo_catalog.imaging.settings import ConversionSettings, Tool
from kilo_catalog.stores.memory import MemoryStore

MIB = 1 << 20
DISK = (b"boot".ljust(MIB, b"\0") + b"data" * 5000).ljust(2 * MIB, b"\0")
Open = Callable[..., Catalog]


@pytest.fixture
def converting(open_catalog: Open, tmp_path: Path) -> Open:
    """Opens a catalog that converts with our own code, unless it is told otherwise."""

    def open_one(quotas: Quotas | None = None, **settings: Any) -> Catalog:
        conversion = ConversionSettings(**{"tool": Tool.BUILT_IN, **settings})
        imports = ImportSettings(scratch=str(tmp_path / "scratch"), conversion=conversion)
        return open_catalog(imports=imports, quotas=quotas or Quotas())

    return open_one


def ask(catalog: Catalog, image_id: str, status: int = 202, **body: Any) -> dict[str, Any]:
    answer = catalog.request("POST", f"/v2/images/{image_id}/actions/convert", json=body)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def test_an_image_is_converted_in_place(converting: Open) -> None:
    catalog = converting()
    image_id = catalog.create_active(DISK, name="disk")
    before = catalog.files()
    task = ask(catalog, image_id, disk_format="qcow2", in_place=True)
    assert (task["type"], task["image_id"], task["status"]) == (
        "image_convert", image_id, "pending",
    )  # fmt: skip
    assert catalog.data(image_id) == DISK  # as before, until all is done
    assert catalog.work() == 1
    image = catalog.show(image_id)
    assert (image["status"], image["disk_format"], image["name"]) == ("active", "qcow2", "disk")
    data = catalog.data(image_id)
    assert data.startswith(b"QFI\xfb")
    assert image["size"] == len(data)
    assert image["virtual_size"] == len(DISK)
    assert image["checksum"] == hashlib.md5(data).hexdigest()
    assert image["os_hash_value"] == hashlib.sha512(data).hexdigest()
    assert image["converted_from"] == "raw"
    assert image["converted_from_sha512"] == hashlib.sha512(DISK).hexdigest()
    assert image["introspected_compat"] == "1.1"
    assert "os_glance_import_task" not in image
    assert len(catalog.files()) == 1
    assert catalog.files() != before
    (done,) = catalog.tasks(image_id)
    assert (done["status"], done["progress"]["percent"]) == ("success", 100)
    assert done["result"] == {
        "image_id": image_id, "stores": ["main"], "disk_format": "qcow2", "size": len(data),
    }  # fmt: skip
    ask(catalog, image_id, disk_format="raw", in_place=True)
    catalog.work()
    again = catalog.show(image_id)
    assert again["os_hash_value"] == hashlib.sha512(DISK).hexdigest()
    assert again["converted_from_sha512"] == hashlib.sha512(DISK).hexdigest()
    assert catalog.data(image_id) == DISK


def test_every_store_of_the_image_gets_the_new_data(converting: Open) -> None:
    catalog = converting()
    image_id = catalog.create_active(DISK)
    admin = catalog.as_(catalog.project, "admin,member")
    assert admin.import_(image_id, "copy-image", all_stores=True).status_code == 202
    catalog.work()
    ask(catalog, image_id, disk_format="qcow2", in_place=True)
    catalog.work()
    image = catalog.show(image_id)
    assert sorted(image["stores"].split(",")) == ["main", "second"]
    assert image["disk_format"] == "qcow2"
    assert len(catalog.files()) == 1


def test_a_new_image_gets_the_converted_data(converting: Open, heard: Heard) -> None:
    catalog = converting()
    image_id = catalog.create_active(DISK, name="disk", min_ram=64, hw_disk_bus="virtio")
    task = ask(catalog, image_id, disk_format="qcow2", name="small", stores=["second"])
    made = task["image_id"]
    assert made != image_id
    assert catalog.show(made)["status"] == "importing"
    catalog.work()
    image = catalog.show(made)
    assert (image["status"], image["name"], image["disk_format"]) == ("active", "small", "qcow2")
    assert (image["min_ram"], image["hw_disk_bus"], image["stores"]) == (64, "virtio", "second")
    assert image["converted_from"] == "raw"
    assert image["virtual_size"] == len(DISK)
    assert catalog.show(image_id)["disk_format"] == "raw"
    assert catalog.data(image_id) == DISK
    assert len(catalog.files()) == 1


def test_who_may_download_an_image_may_convert_it_for_itself(converting: Open) -> None:
    catalog = converting()
    image_id = catalog.create_active(DISK, name="disk", visibility="community")
    other = catalog.as_("p2")
    ask(other, image_id, 403, disk_format="qcow2", in_place=True)
    made = ask(other, image_id, disk_format="qcow2")["image_id"]
    catalog.work()
    image = other.show(made)
    assert (image["owner"], image["name"], image["status"]) == ("p2", "disk (qcow2)", "active")


@pytest.mark.parametrize(("body", "status", "word"), [
    ({}, 400, "disk_format"), ([], 400, "like this"), ({"disk_format": 7}, 400, "like this"),
    ({"disk_format": "iso"}, 400, "qcow2"), ({"disk_format": "raw"}, 400, "already"),
    ({"disk_format": "qcow2", "fast": True}, 400, "fast"),
    ({"disk_format": "vhdx", "compress": True}, 400, "not compressed"),
    ({"disk_format": "qcow2", "in_place": True, "stores": ["main"]}, 400, "leave out"),
    ({"disk_format": "qcow2", "stores": ["nowhere"]}, 409, "nowhere"),
    ({"disk_format": "qcow2", "name": "n" * 256}, 400, "255"),
])  # fmt: skip
def test_what_cannot_be_is_refused_and_changes_nothing(
    converting: Open, body: Any, status: int, word: str
) -> None:
    catalog = converting()
    image_id = catalog.create_active(DISK)
    answer = catalog.request("POST", f"/v2/images/{image_id}/actions/convert", json=body)
    assert answer.status_code == status
    assert word in answer.text
    assert catalog.tasks(image_id) == []
    assert len(catalog.request("GET", "/v2/images").get_json()["images"]) == 1


def test_an_image_without_data_is_not_converted(converting: Open) -> None:
    catalog = converting()
    ask(catalog, catalog.create_raw(), 409, disk_format="qcow2", in_place=True)
    ask(catalog, catalog.create_raw(), 409, disk_format="qcow2")


def test_one_task_at_a_time_has_an_image(converting: Open) -> None:
    catalog = converting()
    image_id = catalog.create_active(DISK)
    ask(catalog, image_id, disk_format="qcow2", in_place=True)
    ask(catalog, image_id, 409, disk_format="vhdx", in_place=True)


def test_a_conversion_that_fails_leaves_the_image_as_it_was(
    converting: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = converting()
    image_id = catalog.create_active(DISK)
    before = catalog.show(image_id)
    monkeypatch.setattr(BuiltIn, "compare", lambda *_all: (each for each in [False]))
    task = ask(catalog, image_id, disk_format="qcow2", in_place=True)
    catalog.work()
    assert "not the same" in catalog.tasks(image_id)[-1]["message"]
    assert catalog.data(image_id) == DISK
    after = catalog.show(image_id)
    assert {name: after[name] for name in ("disk_format", "os_hash_value", "stores")} == {
        name: before[name] for name in ("disk_format", "os_hash_value", "stores")
    }
    assert len(catalog.files()) == 1
    monkeypatch.undo()
    path = f"/v2/images/{image_id}/tasks/{task['id']}/actions/retry"
    assert catalog.request("POST", path).status_code == 202
    catalog.work()
    assert catalog.show(image_id)["disk_format"] == "qcow2"


def test_what_a_store_has_kept_is_read_back_before_the_old_data_goes(
    converting: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = converting()
    image_id = catalog.create_active(DISK)
    admin = catalog.as_(catalog.project, "admin,member")
    admin.import_(image_id, "copy-image", all_stores=True)
    catalog.work()
    whole = MemoryStore.open

    def damaged(store: MemoryStore, key: str, *rest: Any) -> Any:
        reader = whole(store, key, *rest)
        read = reader.read
        monkeypatch.setattr(reader, "read", lambda size: read(size)[:-1])
        return reader

    monkeypatch.setattr(MemoryStore, "open", damaged)
    ask(catalog, image_id, disk_format="qcow2", in_place=True)
    catalog.work()
    (task,) = (each for each in catalog.tasks(image_id) if each["type"] == "image_convert")
    assert "is not what was converted" in task["message"]
    assert catalog.show(image_id)["disk_format"] == "raw"
    assert catalog.data(image_id) == DISK


def test_a_new_image_that_fails_is_a_record_without_data(converting: Open) -> None:
    catalog = converting()
    image_id = catalog.create_active(DISK)
    made = ask(catalog, image_id, disk_format="qcow2")["image_id"]
    catalog.request("DELETE", f"/v2/images/{image_id}")
    catalog.work()
    assert catalog.show(made)["status"] == "queued"
    assert catalog.tasks(made)[-1]["status"] == "failure"
    assert catalog.files() == []


def test_a_conversion_that_waits_can_be_cancelled(converting: Open) -> None:
    catalog = converting()
    image_id = catalog.create_active(DISK)
    task = ask(catalog, image_id, disk_format="qcow2", in_place=True)
    path = f"/v2/images/{image_id}/tasks/{task['id']}/actions/cancel"
    assert catalog.request("POST", path).status_code == 202
    assert catalog.work() == 0
    assert catalog.data(image_id) == DISK
    ask(catalog, image_id, disk_format="qcow2", in_place=True)


def test_a_larger_image_stays_within_the_quota(converting: Open) -> None:
    catalog = converting(quotas=Quotas(size=MIB))
    image_id = str(catalog.create(disk_format="qcow2", container_format="bare")["id"])
    small = converting()
    other = small.create_active(DISK)
    ask(small, other, disk_format="qcow2", in_place=True)
    small.work()
    assert catalog.put(image_id, small.data(other)).status_code == 204
    ask(catalog, image_id, disk_format="raw", in_place=True)
    catalog.work()
    assert "ask for a higher quota" in catalog.tasks(image_id)[-1]["message"]
    assert catalog.show(image_id)["disk_format"] == "qcow2"


@pytest.mark.parametrize("by", ["property", "configuration"])
def test_an_upload_is_converted_if_somebody_says_so(converting: Open, by: str) -> None:
    if by == "property":
        catalog, values = converting(), {"convert_to": "qcow2"}
    else:
        catalog, values = converting(target="qcow2", uploads=True), {}
    image_id = catalog.create_active(DISK, **values)
    assert catalog.data(image_id) == DISK
    assert catalog.work() == 1
    image = catalog.show(image_id)
    assert (image["disk_format"], image["virtual_size"]) == ("qcow2", len(DISK))
    assert "convert_to" not in image
    kernel = str(catalog.create(disk_format="aki", container_format="aki", **values)["id"])
    status = 400 if by == "property" else 204
    assert catalog.put(kernel, b"kernel").status_code == status
    assert catalog.work() == 0


def test_an_upload_that_asks_for_what_there_is_not_is_refused(converting: Open) -> None:
    catalog = converting()
    image_id = catalog.create_raw(convert_to="gif")
    answer = catalog.put(image_id, DISK)
    assert answer.status_code == 400
    assert "qcow2" in answer.text
    assert catalog.show(image_id)["status"] == "queued"
