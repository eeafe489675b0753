"""Imports from elsewhere: from URLs, and from other catalogs."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from catalog_story import Catalog
from kilo_catalog.config import ImportSettings, RegionSettings
from kilo_catalog.domain.protection import PropertyProtection
from kilo_common.errors import ConfigInvalid
from kilo_common.fetch.policy import FetchPolicy

DATA = bytes(range(256)) * 40
LOCAL = FetchPolicy(allow_loopback=True, ports=())
Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


@contextmanager
def served(app: Application) -> Iterator[str]:
    """The application over HTTP; its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


def answer(status: str, body: bytes, **headers: str) -> Application:
    def app(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(status, [("Content-Length", str(len(body))), *headers.items()])
        return [body]

    return app


class TestFromTheWeb:
    @pytest.fixture
    def catalog(self, open_catalog: Callable[..., Catalog]) -> Catalog:
        return open_catalog(imports=ImportSettings(fetch=LOCAL))

    def test_an_image_is_read_from_a_url(self, catalog: Catalog) -> None:
        image_id = catalog.create_raw()
        with served(answer("200 OK", DATA)) as url:
            begun = catalog.import_(image_id, "web-download", uri=f"{url}/x", stores=["second"])
            assert begun.status_code == 202
            assert catalog.show(image_id)["status"] == "importing"
            catalog.work()
        image = catalog.show(image_id)
        assert (image["status"], image["stores"], image["size"]) == ("active", "second", len(DATA))
        assert catalog.data(image_id) == DATA
        assert catalog.files() == []

    def test_a_task_made_by_hand_does_the_same(self, catalog: Catalog) -> None:
        admin = catalog.as_("p1", "admin,member")
        with served(answer("200 OK", DATA)) as url:
            given = {"import_from": f"{url}/x", "import_from_format": "raw"}
            wanted = {"image_properties": {"name": "by hand", "hw_disk_bus": "scsi"}}
            body = {"type": "import", "input": {**given, **wanted}}
            task = admin.request("POST", "/v2/tasks", json=body).get_json()
            assert task["status"] == "pending"
            admin.work()
        done = admin.request("GET", f"/v2/tasks/{task['id']}").get_json()
        assert (done["status"], done["progress"]["percent"]) == ("success", 100)
        image = admin.show(done["result"]["image_id"])
        assert (image["name"], image["hw_disk_bus"], image["status"]) == (
            *("by hand", "scsi"),
            "active",
        )

    @pytest.mark.parametrize(
        ("app", "sentence"),
        [
            (answer("404 Not Found", b"no"), "answers 404"),
            (answer("200 OK", b"short", **{"X": "y"}), ""),
            (answer("302 Found", b"", Location="http://169.254.169.254/latest"), "not one that"),
            (answer("302 Found", b"", Location="file:///etc/passwd"), "cheme"),
            (answer("200 OK", b"QFI\xfb" + bytes(600)), "qcow2"),
        ],
        ids=["gone", "fine", "link-local", "file", "format"],
    )
    def test_what_goes_wrong_is_said_and_the_image_waits_for_other_data(
        self, catalog: Catalog, app: Application, sentence: str
    ) -> None:
        image_id = catalog.create_raw()
        with served(app) as url:
            assert catalog.import_(image_id, "web-download", uri=url).status_code == 202
            catalog.work()
        image = catalog.show(image_id)
        if not sentence:
            assert image["status"] == "active"
            return
        assert (image["status"], image["size"]) == ("queued", None)
        assert sentence in image["os_glance_import_message"]
        assert image["os_glance_failed_import"] == "main"
        (task,) = catalog.tasks(image_id)
        assert task["message"] == f"{image['os_glance_import_message']}"
        assert task["message"].startswith("download: ")
        assert catalog.files() == []
        assert catalog.put(image_id, b"other data").status_code == 204


class TestFromAnotherCatalog:
    """The other catalog is one of ours; a wall before it asks for a token."""

    TOKEN = "let-me-in"

    @pytest.fixture
    def other(self, open_catalog: Callable[..., Catalog], tmp_path: Path) -> Catalog:
        return open_catalog(tmp_path / "other")

    @pytest.fixture
    def url(self, other: Catalog) -> Iterator[str]:
        wall = self.wall(other)
        with served(wall) as url:
            self.public = url
            yield url

    def wall(self, other: Catalog) -> Application:
        def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            if environ["PATH_INFO"] == "/v3/auth/tokens":
                return self.identity(environ, start_response)
            if environ["PATH_INFO"].startswith("/guarded/"):
                environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/guarded")
                if environ.get("HTTP_X_AUTH_TOKEN") != self.TOKEN:
                    return answer("401 Unauthorized", b"")(environ, start_response)
                environ["HTTP_X_PROJECT_ID"] = "p1"
            return other.api.app(environ, start_response)

        return app

    def identity(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        asked = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        user = asked["auth"]["identity"]["password"]["user"]
        assert asked["auth"]["scope"]["project"]["name"] == "images"
        if user["password"] != "right":
            return answer("401 Unauthorized", b"{}")(environ, start_response)
        ends = [
            {"interface": "public", "region": "Two", "url": f"{self.public}/guarded/v2/"},
            {"interface": "internal", "region": "Two", "url": "http://127.0.0.1:1/"},
        ]
        catalog = [{"type": "compute", "endpoints": []}, {"type": "image", "endpoints": ends}]
        body = json.dumps({"token": {"catalog": catalog}}).encode()
        return answer("201 Created", body, **{"X-Subject-Token": self.TOKEN})(
            environ, start_response
        )

    def here(
        self, open_catalog: Callable[..., Catalog], region: RegionSettings, **rest: Any
    ) -> Catalog:
        return open_catalog(imports=ImportSettings(regions={"two": region}), **rest)

    def download(self, here: Catalog, remote_id: str, **rest: Any) -> dict[str, Any]:
        image_id = str(here.create(hw_mine="here")["id"])
        source = {"glance_region": "two", "glance_image_id": remote_id, **rest}
        body = {"method": {"name": "glance-download", **source}}
        begun = here.request("POST", f"/v2/images/{image_id}/import", json=body)
        assert begun.status_code == 202, begun.text
        here.work()
        return here.show(image_id)

    def test_an_image_comes_with_its_formats_and_some_properties(
        self, open_catalog: Callable[..., Catalog], other: Catalog, url: str
    ) -> None:
        remote = other.create_active(
            DATA, hw_disk_bus="scsi", os_distro="debian", private="x", hw_mine="there"
        )
        here = self.here(open_catalog, RegionSettings(url=url))
        image = self.download(here, remote)
        assert (image["status"], image["disk_format"]) == ("active", "raw")
        assert (image["hw_disk_bus"], image["os_distro"]) == ("scsi", "debian")
        assert (image["hw_mine"], "private" in image) == ("here", False)
        assert image["os_hash_value"] == other.show(remote)["os_hash_value"]
        assert here.data(image["id"]) == DATA

    def test_it_is_signed_in_and_found_by_the_service_catalog(
        self, open_catalog: Callable[..., Catalog], other: Catalog, url: str
    ) -> None:
        remote = other.create_active(DATA, visibility="private")
        region = RegionSettings(
            auth_url=f"{url}/v3", user="u", password="right", project="images", region="Two"
        )
        here = self.here(open_catalog, region)
        assert self.download(here, remote)["status"] == "active"
        elsewhere = self.download(here, remote, glance_service_interface="internal")
        assert "cannot be reached" in elsewhere["os_glance_import_message"]
        nowhere = self.download(here, remote, glance_service_interface="admin")
        assert "no admin endpoint" in nowhere["os_glance_import_message"]

    @pytest.mark.parametrize(
        ("region", "sentence"),
        [
            ({}, "it is not there, or not shown to us"),
            ({"auth_url": "{url}/v3", "project": "images", "password": "no"}, "let us in"),
            ({"url": "{url}/nothing"}, "answers 404"),
            ({"url": "http://127.0.0.1:1"}, "cannot be reached"),
        ],
        ids=["gone", "password", "path", "down"],
    )
    def test_what_goes_wrong_is_said(
        self,
        open_catalog: Callable[..., Catalog],
        other: Catalog,
        url: str,
        region: dict[str, str],
        sentence: str,
    ) -> None:
        remote = other.create_active(DATA)
        if not region:
            other.request("DELETE", f"/v2/images/{remote}")
        filled = {name: value.replace("{url}", url) for name, value in region.items()}
        here = self.here(open_catalog, RegionSettings(**({"url": url} | filled)))
        image = self.download(here, remote)
        assert image["status"] == "queued"
        assert sentence in image["os_glance_import_message"]
        assert here.files() == []

    def test_an_image_without_data_is_not_read(
        self, open_catalog: Callable[..., Catalog], other: Catalog, url: str
    ) -> None:
        here = self.here(open_catalog, RegionSettings(url=url))
        assert "queued" in self.download(here, other.create_raw())["os_glance_import_message"]

    def test_data_that_is_not_what_the_record_says_is_refused(
        self, open_catalog: Callable[..., Catalog], other: Catalog, url: str
    ) -> None:
        remote = other.create_active(DATA)
        (file,) = (path for path in (other.folder / "images").rglob("*") if path.is_file())
        file.chmod(0o600)
        file.write_bytes(b"x" + DATA[1:])
        here = self.here(open_catalog, RegionSettings(url=url))
        image = self.download(here, remote)
        assert (image["status"], here.files()) == ("queued", [])
        assert "hashes differ" in image["os_glance_import_message"]

    def test_protected_properties_do_not_come_from_elsewhere(
        self, open_catalog: Callable[..., Catalog], other: Catalog, url: str
    ) -> None:
        who = ("member",)
        nobody = PropertyProtection(name="^hw_secret$", create=("admin",), read=who)
        all_others = PropertyProtection(name=".", create=who, read=who, update=who, delete=who)
        remote = other.create_active(DATA, hw_secret="x", hw_disk_bus="scsi")
        here = self.here(
            open_catalog, RegionSettings(url=url), property_protections=(nobody, all_others)
        )
        image = self.download(here, remote)
        assert (image["hw_disk_bus"], "hw_secret" in image) == ("scsi", False)

    @pytest.mark.parametrize(
        "source",
        [
            {"glance_region": "three", "glance_image_id": "0" * 8 + "-0000-0000-0000-" + "0" * 12},
            {"glance_region": "two", "glance_image_id": "../../v3/users"},
            {"glance_region": "two", "glance_image_id": 7},
            {"glance_region": "two"},
            {
                "glance_region": "two",
                "glance_image_id": "0" * 8 + "-0000-0000-0000-" + "0" * 12,
                "glance_service_interface": "private",
            },
        ],
    )
    def test_what_makes_no_sense_is_refused_at_once(
        self, open_catalog: Callable[..., Catalog], source: dict[str, Any]
    ) -> None:
        here = self.here(open_catalog, RegionSettings(url="http://127.0.0.1:1"))
        image_id = here.create()["id"]
        body = {"method": {"name": "glance-download", **source}}
        answer = here.request("POST", f"/v2/images/{image_id}/import", json=body)
        assert answer.status_code == 400
        assert here.show(image_id)["status"] == "queued"

    def test_it_is_offered_where_there_is_another_catalog(
        self, open_catalog: Callable[..., Catalog], catalog: Catalog
    ) -> None:
        def offered(of: Catalog) -> list[str]:
            methods = of.request("GET", "/v2/info/import").get_json()["import-methods"]
            return list(methods["value"])

        here = self.here(open_catalog, RegionSettings(url="http://127.0.0.1:1"))
        assert "glance-download" in offered(here)
        assert "glance-download" not in offered(catalog)
        with pytest.raises(ConfigInvalid, match=r"regions\.two needs a url"):
            self.here(open_catalog, RegionSettings(region="x"))


def test_a_copy_keeps_what_was_found_in_the_data(catalog: Catalog) -> None:
    image_id = catalog.create_active(DATA)
    path = f"/v2/images/{image_id}/introspection"
    before = catalog.request("GET", path).get_json()
    catalog.as_("p1", "admin,member").import_(image_id, "copy-image", stores=["second"])
    catalog.work()
    assert catalog.request("GET", path).get_json() == before
