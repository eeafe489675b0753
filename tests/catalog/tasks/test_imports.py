"""Imports from their request to their end, with a worker that is told when to work."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from catalog_story import Catalog, Heard
from kilo_catalog.domain.quotas import Quotas
from kilo_catalog.errors import FormatRefused
from kilo_catalog.stores.base import BlobStore, StoreUnavailable
from kilo_catalog.stores.memory import MemoryStore
from kilo_catalog.tasks.reaper import Reaper

DATA = bytes(range(256)) * 40


def reaper_of(catalog: Catalog) -> Reaper:
    return next(each for each in catalog.api.services if isinstance(each, Reaper))


def admin(catalog: Catalog) -> Catalog:
    return catalog.as_(catalog.project, "admin,member")


def break_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the memory store fail, as a server that is down does."""

    def fail(*_args: Any) -> Any:
        raise StoreUnavailable("The store is down")

    monkeypatch.setattr(MemoryStore, "create", fail)
    monkeypatch.setattr(MemoryStore, "adopt", fail)


def test_a_staged_image_is_imported(catalog: Catalog) -> None:
    image_id = catalog.create_staged(DATA)
    staged = catalog.show(image_id)
    assert (staged["status"], staged["size"], staged["checksum"]) == ("uploading", len(DATA), None)
    answer = catalog.import_(image_id)
    assert (answer.status_code, answer.data) == (202, b"")
    under_way = catalog.show(image_id)
    assert under_way["status"] == "importing"
    assert under_way["os_glance_importing_to_stores"] == "main"
    assert catalog.data(image_id) == b""
    (task,) = catalog.tasks(image_id)
    assert under_way["os_glance_import_task"] == task["id"]
    assert (task["status"], task["type"]) == ("pending", "api_image_import")
    assert task["request_id"] == answer.headers["x-openstack-request-id"]
    assert catalog.work() == 1
    image = catalog.show(image_id)
    assert (image["status"], image["stores"], image["size"]) == ("active", "main", len(DATA))
    assert image["checksum"] == hashlib.md5(DATA).hexdigest()
    assert image["os_hash_value"] == hashlib.sha512(DATA).hexdigest()
    assert image["os_glance_importing_to_stores"] == image["os_glance_failed_import"] == ""
    assert "os_glance_import_task" not in image
    assert catalog.data(image_id) == DATA
    (task,) = catalog.tasks(image_id)
    assert (task["status"], task["progress"]["percent"]) == ("success", 100)
    assert task["result"] == {"image_id": image_id, "stores": ["main"], "missed": {}}
    assert len(catalog.files()) == 1


def test_findings_are_properties_as_after_an_upload(catalog: Catalog) -> None:
    disk = bytearray(1 << 20)
    disk[510:512] = b"\x55\xaa"
    disk[446:462] = bytes([0, 0, 2, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0])
    image_id = catalog.create_staged(bytes(disk))
    catalog.import_(image_id)
    catalog.work()
    uploaded = catalog.show(catalog.create_active(bytes(disk)))
    assert uploaded["introspected_partition_table"]
    imported = catalog.show(image_id)
    found = {name: value for name, value in imported.items() if name.startswith("introspected_")}
    assert found.items() <= uploaded.items()
    assert "introspected_partition_table" in found


def test_the_data_goes_to_every_store_that_is_named(catalog: Catalog) -> None:
    image_id = catalog.create_staged(DATA)
    assert catalog.import_(image_id, stores=["second", "main"]).status_code == 202
    catalog.work()
    assert sorted(catalog.show(image_id)["stores"].split(",")) == ["main", "second"]
    assert catalog.data(image_id) == DATA


def test_a_header_names_the_store_where_the_body_does_not(catalog: Catalog) -> None:
    image_id = catalog.create_staged(DATA)
    headers = {"x-image-meta-store": "second"}
    body = {"method": {"name": "glance-direct"}}
    path = f"/v2/images/{image_id}/import"
    assert catalog.request("POST", path, json=body, headers=headers).status_code == 202
    catalog.work()
    assert catalog.show(image_id)["stores"] == "second"
    assert catalog.files() == []  # the staged copy is gone


def test_a_staging_store_of_its_own_is_offered_to_nobody(
    open_catalog: Callable[..., Catalog],
) -> None:
    catalog = open_catalog(staging_store="second")
    stores = catalog.request("GET", "/v2/info/stores").get_json()["stores"]
    assert [each["id"] for each in stores] == ["main"]
    image_id = catalog.create_staged(DATA)
    assert catalog.files() == []
    assert catalog.import_(image_id, stores=["second"]).status_code == 409
    assert catalog.import_(image_id, all_stores=True).status_code == 202
    catalog.work()
    assert catalog.show(image_id)["stores"] == "main"
    assert catalog.data(image_id) == DATA


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ([], 400),
        ({"method": "glance-direct"}, 400),
        ({"method": {"name": "no-such"}}, 400),
        ({"method": {"name": 7}}, 400),
        ({"method": {"name": "web-download"}}, 400),
        ({"method": {"name": "web-download", "uri": 7}}, 400),
        ({"method": {"name": "web-download", "uri": "file:///etc/passwd"}}, 400),
        ({"method": {"name": "web-download", "uri": "http://169.254.169.254/latest"}}, 400),
        ({"method": {"name": "web-download", "uri": "http://example.org:22/"}}, 400),
        ({"method": {"name": "web-download", "uri": "http://2130706433/"}}, 400),
        ({"method": {"name": "web-download", "uri": "http://127.0.0.1/"}}, 400),
        ({"method": {"name": "glance-download", "glance_region": "x"}}, 400),
        ({"method": {"name": "copy-image"}}, 400),
        ({"method": {"name": "glance-direct"}, "stores": "main"}, 400),
        ({"method": {"name": "glance-direct"}, "stores": [1]}, 400),
        ({"method": {"name": "glance-direct"}, "all_stores": "yes"}, 400),
        ({"method": {"name": "glance-direct"}, "all_stores": True, "stores": ["main"]}, 400),
        ({"method": {"name": "glance-direct"}, "stores": ["nowhere"]}, 409),
        ({"method": {"name": "web-download", "uri": "http://example.org/"}}, 409),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    catalog: Catalog, body: Any, status: int
) -> None:
    image_id = catalog.create_staged()
    path = f"/v2/images/{image_id}/import"
    assert catalog.request("POST", path, json=body).status_code == status
    assert catalog.show(image_id)["status"] == "uploading"
    assert catalog.tasks(image_id) == []


def test_the_state_of_an_image_decides(catalog: Catalog) -> None:
    queued = catalog.create_raw()
    assert catalog.import_(queued).status_code == 409
    assert admin(catalog).import_(queued, "copy-image", all_stores=True).status_code == 409
    bare = catalog.create()["id"]
    uri = "http://example.org/disk"
    assert catalog.import_(bare, "web-download", uri=uri).status_code == 400
    assert catalog.stage(bare, b"x").status_code == 400
    staged = catalog.create_staged()
    assert catalog.stage(staged, b"x").status_code == 409
    assert catalog.put(staged, b"x").status_code == 409
    assert catalog.import_(staged).status_code == 202
    assert catalog.import_(staged).status_code == 409
    assert catalog.as_("p2").import_(staged).status_code == 404


def test_staged_data_is_inspected_as_it_comes(catalog: Catalog) -> None:
    image_id = catalog.create(disk_format="qcow2", container_format="bare")["id"]
    answer = catalog.stage(image_id, b"not a qcow2" * 100)
    assert answer.status_code == 415
    assert answer.get_json()["error"]["code"] == FormatRefused.code
    assert catalog.show(image_id)["status"] == "queued"
    assert catalog.files() == []


def test_data_that_nobody_imports_is_given_up(catalog: Catalog) -> None:
    image_id = catalog.create_staged()
    catalog.clock.advance(86401)
    reaper_of(catalog).run_once()
    image = catalog.show(image_id)
    assert (image["status"], image["size"]) == ("queued", None)
    assert catalog.files() == []


def test_deleting_a_staged_image_removes_its_data(catalog: Catalog) -> None:
    image_id = catalog.create_staged()
    assert catalog.request("DELETE", f"/v2/images/{image_id}").status_code == 204
    assert catalog.files() == []


def test_deleting_an_image_ends_its_import(catalog: Catalog) -> None:
    image_id = catalog.create_staged()
    catalog.import_(image_id)
    (task,) = catalog.tasks(image_id)
    assert catalog.request("DELETE", f"/v2/images/{image_id}").status_code == 204
    catalog.work()
    shown = admin(catalog).request("GET", f"/v2/tasks/{task['id']}").get_json()
    assert shown["status"] == "failure"
    assert catalog.files() == []


class TestCopying:
    def test_an_image_is_copied_to_another_store(self, catalog: Catalog) -> None:
        image_id = catalog.create_active(DATA)
        before = catalog.show(image_id)
        assert admin(catalog).import_(image_id, "copy-image", stores=["second"]).status_code == 202
        assert catalog.show(image_id)["status"] == "active"
        assert catalog.show(image_id)["os_glance_importing_to_stores"] == "second"
        assert catalog.data(image_id) == DATA
        catalog.work()
        image = catalog.show(image_id)
        assert image["stores"] == "main,second"
        assert image["os_hash_value"] == before["os_hash_value"]
        assert image["virtual_size"] == before["virtual_size"]

    def test_a_store_that_has_it_is_refused_by_name_and_left_out_of_all(
        self, catalog: Catalog
    ) -> None:
        image_id = catalog.create_active(DATA)
        asked = admin(catalog).import_(image_id, "copy-image", stores=["main"])
        assert asked.status_code == 409
        assert admin(catalog).import_(image_id, "copy-image", all_stores=True).status_code == 202
        catalog.work()
        assert catalog.show(image_id)["stores"] == "main,second"
        again = admin(catalog).import_(image_id, "copy-image", all_stores=True)
        assert again.status_code == 409

    def test_a_damaged_copy_is_found_out(self, catalog: Catalog) -> None:
        image_id = catalog.create_active(DATA)
        (file,) = (path for path in (catalog.folder / "images").rglob("*") if path.is_file())
        file.chmod(0o600)
        file.write_bytes(b"x" + DATA[1:])
        admin(catalog).import_(image_id, "copy-image", stores=["second"])
        catalog.work()
        image = catalog.show(image_id)
        assert (image["stores"], image["os_glance_failed_import"]) == ("main", "second")
        (task,) = catalog.tasks(image_id)
        assert "damaged" in task["message"]
        assert task["message"] == image["os_glance_import_message"]


class TestStoresThatFail:
    def test_one_fails_the_import_and_all_is_taken_back(
        self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        image_id = catalog.create_staged(DATA)
        break_store(monkeypatch)
        catalog.import_(image_id, stores=["main", "second"])
        catalog.work()
        image = catalog.show(image_id)
        assert image["status"] == "uploading"
        assert set(image["os_glance_failed_import"].split(",")) == {"main", "second"}
        assert "The store is down" in image["os_glance_import_message"]
        assert "stores" not in image
        assert image["checksum"] is None
        monkeypatch.undo()
        assert catalog.import_(image_id, stores=["main", "second"]).status_code == 202
        catalog.work()
        image = catalog.show(image_id)
        assert (image["status"], image["os_glance_failed_import"]) == ("active", "")
        assert catalog.data(image_id) == DATA

    @pytest.mark.parametrize("order", [["main", "second"], ["second", "main"]])
    def test_one_is_missed_where_that_is_allowed(
        self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, order: Sequence[str]
    ) -> None:
        image_id = catalog.create_staged(DATA)
        break_store(monkeypatch)
        catalog.import_(image_id, stores=order, all_stores_must_succeed=False)
        catalog.work()
        image = catalog.show(image_id)
        assert (image["status"], image["stores"]) == ("active", "main")
        assert image["os_glance_failed_import"] == "second"
        (task,) = catalog.tasks(image_id)
        assert task["result"]["missed"] == {"second": "The store is down"}
        assert catalog.data(image_id) == DATA

    def test_none_left_is_a_failure(
        self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        image_id = catalog.create_staged(DATA)
        break_store(monkeypatch)
        catalog.import_(image_id, stores=["second"], all_stores_must_succeed=False)
        catalog.work()
        image = catalog.show(image_id)
        assert (image["status"], image["os_glance_failed_import"]) == ("uploading", "second")
        assert catalog.tasks(image_id)[0]["status"] == "failure"

    def test_a_copy_that_fails_leaves_the_image_as_it_was(
        self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        image_id = catalog.create_active(DATA)
        break_store(monkeypatch)
        admin(catalog).import_(image_id, "copy-image", stores=["second"])
        catalog.work()
        image = catalog.show(image_id)
        assert (image["status"], image["stores"]) == ("active", "main")
        assert image["os_glance_failed_import"] == "second"
        assert catalog.data(image_id) == DATA


class TestCancelAndRetry:
    def act(self, catalog: Catalog, image_id: str, action: str) -> int:
        (task,) = catalog.tasks(image_id)
        path = f"/v2/images/{image_id}/tasks/{task['id']}/actions/{action}"
        return catalog.request("POST", path).status_code

    def test_a_waiting_task_is_cancelled_at_once_and_can_be_retried(self, catalog: Catalog) -> None:
        image_id = catalog.create_staged(DATA)
        catalog.import_(image_id)
        assert self.act(catalog, image_id, "retry") == 409
        assert self.act(catalog, image_id, "cancel") == 202
        assert self.act(catalog, image_id, "cancel") == 409
        image = catalog.show(image_id)
        assert (image["status"], image["size"]) == ("uploading", len(DATA))
        assert catalog.work() == 0
        assert self.act(catalog, image_id, "retry") == 202
        assert catalog.work() == 1
        assert catalog.show(image_id)["status"] == "active"
        assert self.act(catalog, image_id, "retry") == 409

    def test_a_task_at_work_ends_between_its_steps(
        self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        image_id = catalog.create_staged(DATA)
        adopt = BlobStore.adopt

        def cancel_meanwhile(store: Any, *args: Any) -> bool:
            assert self.act(catalog, image_id, "cancel") == 202
            return adopt(store, *args)

        monkeypatch.setattr(MemoryStore, "adopt", cancel_meanwhile)
        catalog.import_(image_id, stores=["second", "main"])
        catalog.work()
        image = catalog.show(image_id)
        assert image["status"] == "uploading"
        (task,) = catalog.tasks(image_id)
        assert (task["status"], "cancelled" in task["message"]) == ("failure", True)
        assert len(catalog.files()) == 1

    def test_a_task_whose_worker_died_needs_no_other_to_be_cancelled(
        self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        image_id = catalog.create_staged(DATA)
        catalog.import_(image_id)
        monkeypatch.setattr(catalog.api.worker, "_work", lambda _job: None)  # it dies here
        catalog.work()
        assert catalog.tasks(image_id)[0]["status"] == "processing"
        assert self.act(catalog, image_id, "cancel") == 202
        assert catalog.show(image_id)["status"] == "importing"
        catalog.clock.advance(31)
        assert self.act(catalog, image_id, "cancel") == 202
        assert catalog.show(image_id)["status"] == "uploading"
        assert catalog.tasks(image_id)[0]["status"] == "failure"

    def test_a_retry_needs_what_the_first_try_needed(self, catalog: Catalog) -> None:
        image_id = catalog.create_staged(DATA)
        catalog.import_(image_id)
        self.act(catalog, image_id, "cancel")
        catalog.clock.advance(2 * 86401)
        reaper_of(catalog).run_once()
        assert self.act(catalog, image_id, "retry") == 409

    def test_a_task_belongs_to_its_image(self, catalog: Catalog) -> None:
        first, second = catalog.create_staged(), catalog.create_staged()
        catalog.import_(first)
        (task,) = catalog.tasks(first)
        path = f"/v2/images/{second}/tasks/{task['id']}/actions/cancel"
        assert catalog.request("POST", path).status_code == 404


class TestQuotas:
    def test_staged_bytes_have_a_quota_of_their_own(
        self, open_catalog: Callable[..., Catalog]
    ) -> None:
        catalog = open_catalog(quotas=Quotas(staged=15))
        first = catalog.create_staged(b"0123456789")
        second = catalog.create_raw()
        assert catalog.stage(second, b"0123456789").status_code == 413
        catalog.import_(first)
        catalog.work()
        assert catalog.stage(second, b"0123456789").status_code == 204

    def test_imports_count_as_uploads(self, open_catalog: Callable[..., Catalog]) -> None:
        catalog = open_catalog(quotas=Quotas(uploads=1))
        first = catalog.create_staged()
        assert catalog.put(catalog.create_raw(), b"x").status_code == 413
        catalog.import_(first)
        assert catalog.put(catalog.create_raw(), b"x").status_code == 413
        catalog.work()
        assert catalog.put(catalog.create_raw(), b"x").status_code == 204

    def test_the_usage_says_what_is_staged(self, catalog: Catalog) -> None:
        catalog.create_staged(b"x" * (3 << 20))
        usage = catalog.request("GET", "/v2/info/usage").get_json()["usage"]
        assert usage["image_stage_total"] == {"limit": -1, "usage": 3}
        assert usage["image_size_total"]["usage"] == 0
        assert usage["image_count_uploading"]["usage"] == 1


def test_the_news_of_an_import(catalog: Catalog, heard: Heard) -> None:
    relay = next(each for each in catalog.api.services if type(each).__name__ == "OutboxRelay")
    image_id = catalog.create_staged(DATA)
    catalog.import_(image_id)
    catalog.work()
    relay.run_once()
    steps = ("take", "plugin:convert", "plugin:introspect", "store:main", "activate")
    events = heard.take(11)
    assert [each.event_type for each in events] == [
        *("image.create", "image.prepare", "task.create"),
        *("task.progress" for _ in steps),
        *("image.upload", "image.activate", "task.success"),
    ]
    assert tuple(each.payload["progress"]["step"] for each in events[3:8]) == steps
    last = events[-1].payload
    assert (last["status"], last["progress"]["percent"]) == ("success", 100)
    assert "input" not in last
