"""Resumable uploads, request by request, as tus 1.0.0 has them."""

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import TestResponse

from catalog_story import Catalog
from kilo_catalog.config import UploadSettings
from kilo_catalog.domain.quotas import Quotas
from kilo_catalog.tasks.reaper import Reaper

BYTES = "application/offset+octet-stream"
VERSION = {"Tus-Resumable": "1.0.0"}
DATA = b"0123456789"


def begin(catalog: Catalog, image_id: str, length: Any = 10, **rest: Any) -> TestResponse:
    headers = {**VERSION, "Upload-Length": str(length), **rest.pop("headers", {})}
    return catalog.request("POST", f"/v2/images/{image_id}/uploads", headers=headers, **rest)


def begun(catalog: Catalog, length: int = 10) -> tuple[str, str]:
    """A queued image, and the path of its upload."""
    image_id = catalog.create_raw()
    answer = begin(catalog, image_id, length)
    assert answer.status_code == 201, answer.text
    return image_id, answer.headers["Location"].removeprefix("http://localhost")


def append(catalog: Catalog, path: str, offset: int, data: bytes, **rest: Any) -> TestResponse:
    headers = {**VERSION, "Upload-Offset": str(offset)}
    return catalog.request("PATCH", path, headers=headers, data=data, content_type=BYTES, **rest)


def offset_of(catalog: Catalog, path: str) -> int:
    answer = catalog.request("HEAD", path, headers=VERSION)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    return int(answer.headers["Upload-Offset"])


class Broken:
    """A body whose connection breaks after some bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, _size: int = -1) -> bytes:
        data, self._data = self._data, b""
        return data


@pytest.mark.parametrize("store", ["main", "second"])
def test_data_comes_in_parts_and_the_last_one_makes_the_image_active(
    catalog: Catalog, store: str
) -> None:
    image_id = catalog.create_raw()
    note = f"store {base64.b64encode(store.encode()).decode()},filename YQ=="
    answer = begin(catalog, image_id, headers={"Upload-Metadata": note})
    assert answer.status_code == 201
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert "GMT" in answer.headers["Upload-Expires"]
    path = answer.headers["Location"].removeprefix("http://localhost")
    assert catalog.show(image_id)["status"] == "saving"
    for offset, part in ((0, b"012"), (3, b""), (3, b"3456"), (7, b"789")):
        assert offset_of(catalog, path) == offset
        answer = append(catalog, path, offset, part)
        assert answer.status_code == 204, answer.text
        assert answer.headers["Upload-Offset"] == str(offset + len(part))
    image = catalog.show(image_id)
    assert (image["status"], image["size"], image["stores"]) == ("active", 10, store)
    assert image["checksum"] == hashlib.md5(DATA).hexdigest()
    assert image["os_hash_value"] == hashlib.sha512(DATA).hexdigest()
    assert catalog.data(image_id) == DATA
    assert offset_of(catalog, path) == 10


def test_a_head_tells_what_the_client_has_noted(catalog: Catalog) -> None:
    image_id = catalog.create_raw()
    path = begin(catalog, image_id, headers={"Upload-Metadata": "a YQ==,b"}).headers["Location"]
    answer = catalog.request("HEAD", path, headers=VERSION)
    assert answer.headers["Upload-Metadata"] == "a YQ==,b"
    assert answer.headers["Upload-Length"] == "10"


def test_what_arrived_before_a_connection_broke_is_kept(catalog: Catalog) -> None:
    image_id, path = begun(catalog)
    environ = {"wsgi.input": Broken(b"01234"), "CONTENT_LENGTH": "10"}
    headers = {**VERSION, "Upload-Offset": "0"}
    answer = catalog.request(
        "PATCH", path, headers=headers, content_type=BYTES, environ_overrides=environ
    )
    assert answer.status_code == 400
    assert offset_of(catalog, path) == 5
    assert append(catalog, path, 5, b"56789").status_code == 204
    assert catalog.data(image_id) == DATA


def test_another_process_goes_on_with_an_upload(open_catalog: Callable[..., Catalog]) -> None:
    first = open_catalog()
    image_id, path = begun(first)
    append(first, path, 0, b"01234")
    second = open_catalog()
    assert append(second, path, 5, b"56789").status_code == 204
    assert first.data(image_id) == DATA


def test_data_may_come_with_the_creation(catalog: Catalog) -> None:
    image_id = catalog.create_raw()
    answer = begin(catalog, image_id, data=b"01234", content_type=BYTES)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "5")
    whole = catalog.create_raw()
    assert begin(catalog, whole, data=DATA, content_type=BYTES).status_code == 201
    assert catalog.data(whole) == DATA


def test_an_upload_of_nothing_is_done_at_once(catalog: Catalog) -> None:
    image_id, path = begun(catalog, 0)
    assert (catalog.show(image_id)["status"], catalog.show(image_id)["size"]) == ("active", 0)
    assert offset_of(catalog, path) == 0


def test_a_wrong_offset_changes_nothing(catalog: Catalog) -> None:
    _image_id, path = begun(catalog)
    append(catalog, path, 0, b"01234")
    for offset in (0, 4, 6, 10, 99):
        assert append(catalog, path, offset, b"x").status_code == 409
    assert offset_of(catalog, path) == 5


def test_more_than_was_announced_is_refused(catalog: Catalog) -> None:
    image_id, path = begun(catalog)
    assert append(catalog, path, 0, DATA + b"x").status_code == 413
    assert offset_of(catalog, path) == 0
    assert append(catalog, path, 0, DATA).status_code == 204
    assert catalog.data(image_id) == DATA


def test_a_terminated_upload_leaves_nothing(catalog: Catalog) -> None:
    image_id, path = begun(catalog)
    append(catalog, path, 0, b"01234")
    assert catalog.request("DELETE", path, headers=VERSION).status_code == 204
    assert catalog.files() == []
    assert catalog.show(image_id)["status"] == "queued"
    for answer in (
        catalog.request("HEAD", path, headers=VERSION),
        catalog.request("DELETE", path, headers=VERSION),
        append(catalog, path, 5, b"56789"),
    ):
        assert answer.status_code == 404
    assert catalog.put(image_id, DATA).status_code == 204


def test_data_of_another_format_ends_the_upload(catalog: Catalog) -> None:
    image_id, path = begun(catalog, 4104)
    assert append(catalog, path, 0, b"QFI\xfb\0\0\0\x03").status_code == 204
    answer = append(catalog, path, 8, bytes(4096))
    assert answer.status_code == 415
    assert catalog.show(image_id)["status"] == "queued"
    assert catalog.files() == []


def test_an_image_that_is_deleted_takes_its_upload_along(catalog: Catalog) -> None:
    image_id, path = begun(catalog)
    append(catalog, path, 0, b"01234")
    assert catalog.request("DELETE", f"/v2/images/{image_id}").status_code == 204
    assert append(catalog, path, 5, b"56789").status_code == 404
    catalog.clock.advance(61)
    reaper_of(catalog).run_once()
    assert catalog.files() == []


def reaper_of(catalog: Catalog) -> Reaper:
    return next(each for each in catalog.api.services if isinstance(each, Reaper))


def test_an_upload_that_nobody_goes_on_with_is_given_up_in_time(
    open_catalog: Callable[..., Catalog],
) -> None:
    catalog = open_catalog(upload=UploadSettings(resumable_for=3600))
    image_id, path = begun(catalog)
    catalog.clock.advance(3000)
    assert append(catalog, path, 0, b"01234").status_code == 204
    catalog.clock.advance(3000)
    reaper_of(catalog).run_once()
    assert offset_of(catalog, path) == 5
    catalog.clock.advance(3601)
    reaper_of(catalog).run_once()
    assert catalog.show(image_id)["status"] == "queued"
    assert catalog.files() == []


def test_only_one_request_at_a_time_is_at_work(open_catalog: Callable[..., Catalog]) -> None:
    catalog, other = open_catalog(), open_catalog()
    image_id, path = begun(catalog)
    answers = []

    class Interrupting:
        def __init__(self) -> None:
            self.pieces = [b"01234", b"56789"]

        def read(self, _size: int = -1) -> bytes:
            if len(self.pieces) == 1:
                answers.append(append(other, path, 0, b"x").status_code)
                answers.append(other.request("HEAD", path, headers=VERSION).status_code)
                answers.append(other.request("DELETE", path, headers=VERSION).status_code)
            return self.pieces.pop(0) if self.pieces else b""

    environ = {"wsgi.input": Interrupting(), "CONTENT_LENGTH": "10"}
    headers = {**VERSION, "Upload-Offset": "0"}
    done = catalog.request(
        "PATCH", path, headers=headers, content_type=BYTES, environ_overrides=environ
    )
    assert (done.status_code, answers) == (204, [409, 409, 409])
    assert catalog.data(image_id) == DATA


def test_an_upload_whose_process_died_is_free_after_the_lease(
    open_catalog: Callable[..., Catalog],
) -> None:
    dying, other = open_catalog(), open_catalog()
    image_id, path = begun(dying)
    answers: list[int] = []

    class Stuck:
        """While this is read, the first process is as good as dead: nothing renews its lease."""

        def __init__(self) -> None:
            self.asked = False

        def read(self, _size: int = -1) -> bytes:
            if self.asked:
                raise OSError("at last")
            self.asked = True
            answers.append(append(other, path, 0, b"01234").status_code)
            other.clock.advance(61)
            answers.append(append(other, path, 0, DATA).status_code)
            return b""

    environ = {"wsgi.input": Stuck(), "CONTENT_LENGTH": "10"}
    headers = {**VERSION, "Upload-Offset": "0"}
    dying.request("PATCH", path, headers=headers, content_type=BYTES, environ_overrides=environ)
    assert answers == [409, 204]
    assert other.data(image_id) == DATA


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Tus-Resumable": "0.2.2"}, 412),
        ({"Upload-Length": "x"}, 400),
        ({"Upload-Length": "-1"}, 400),
        ({"Upload-Length": ""}, 400),
        ({"Upload-Length": "9" * 18}, 413),
        ({"Upload-Metadata": "store !!"}, 400),
        ({"Upload-Metadata": "store bm93aGVyZQ=="}, 400),
        ({"Upload-Metadata": "a " * 3000}, 400),
        ({"x-image-meta-store": "nowhere"}, 400),
    ],
)
def test_an_upload_that_cannot_be_begun_leaves_the_image_alone(
    catalog: Catalog, headers: dict[str, str], expected: int
) -> None:
    image_id = catalog.create_raw()
    assert begin(catalog, image_id, headers=headers).status_code == expected
    assert catalog.show(image_id)["status"] == "queued"


def test_what_is_no_part_of_an_upload_is_refused(catalog: Catalog) -> None:
    _image_id, path = begun(catalog)
    plain = {**VERSION, "Upload-Offset": "0"}
    assert catalog.request("PATCH", path, headers=plain, data=b"x").status_code == 415
    assert catalog.request("PATCH", path, data=b"x", content_type=BYTES).status_code == 412
    no_offset = catalog.request("PATCH", path, headers=VERSION, data=b"x", content_type=BYTES)
    assert no_offset.status_code == 400
    assert begin(catalog, catalog.create_active()).status_code == 409
    assert begin(catalog, str(catalog.create()["id"])).status_code == 400


def test_quotas_hold_for_uploads_in_parts(open_catalog: Callable[..., Catalog]) -> None:
    catalog = open_catalog(quotas=Quotas(size=15, uploads=1))
    assert begin(catalog, catalog.create_raw(), 16).status_code == 413
    begun(catalog)
    assert begin(catalog, catalog.create_raw()).status_code == 413


def test_options_tell_what_can_be_done(catalog: Catalog) -> None:
    image_id = catalog.create_raw()
    answer = catalog.request("OPTIONS", f"/v2/images/{image_id}/uploads")
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert "creation" in answer.headers["Tus-Extension"]
    assert int(answer.headers["Tus-Max-Size"]) > 0
