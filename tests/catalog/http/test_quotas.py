"""What the images of one project may take."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from catalog_story import Catalog
from kilo_catalog.domain.quotas import Quotas

MIB = 1 << 20


def check_refused(answer: Any, what: str) -> None:
    assert answer.status_code == 413, answer.text
    error = answer.get_json()["error"]
    assert error["code"] == "catalog.quota_exceeded"
    assert what in error["message"]


def usage(catalog: Catalog) -> dict[str, Any]:
    found: dict[str, Any] = catalog.request("GET", "/v2/info/usage").get_json()["usage"]
    return found


def test_no_more_images_than_the_quota(open_catalog: Callable[..., Catalog]) -> None:
    catalog = open_catalog(quotas=Quotas(images=2))
    first = catalog.create()["id"]
    catalog.create()
    check_refused(catalog.request("POST", "/v2/images", json={}), "2 images")
    assert catalog.as_("p2").request("POST", "/v2/images", json={}).status_code == 201
    assert usage(catalog)["image_count_total"] == {"limit": 2, "usage": 2}
    catalog.request("DELETE", f"/v2/images/{first}")
    assert catalog.request("POST", "/v2/images", json={}).status_code == 201


def test_an_administrator_fills_the_quota_of_the_owner(
    open_catalog: Callable[..., Catalog],
) -> None:
    catalog = open_catalog(quotas=Quotas(images=0), project_quotas={"boss": Quotas()})
    boss = catalog.as_("boss", "admin")
    assert boss.request("POST", "/v2/images", json={}).status_code == 201
    check_refused(boss.request("POST", "/v2/images", json={"owner": "p1"}), "0 images")


@pytest.mark.parametrize("size", [0, 1, 10])
def test_data_fits_into_the_quota(open_catalog: Callable[..., Catalog], size: int) -> None:
    catalog = open_catalog(quotas=Quotas(size=20))
    catalog.create_active(bytes(10))
    catalog.create_active(bytes(size))


@pytest.mark.parametrize("headers", [{}, {"x_openstack_image_size": "11"}])
def test_data_beyond_the_quota_is_refused_and_leaves_nothing(
    open_catalog: Callable[..., Catalog], headers: dict[str, str]
) -> None:
    catalog = open_catalog(quotas=Quotas(size=20))
    catalog.create_active(bytes(10))
    image_id = catalog.create_raw()
    kept = catalog.files()
    check_refused(catalog.put(image_id, bytes(11), **headers), "20 bytes")
    assert catalog.show(image_id)["status"] == "queued"
    assert catalog.files() == kept
    assert catalog.put(image_id, bytes(10)).status_code == 204
    full = catalog.create_raw()
    check_refused(catalog.put(full, b"x"), "20 bytes")
    assert catalog.show(full)["status"] == "queued"


def test_two_uploads_at_once_do_not_share_the_last_room(
    open_catalog: Callable[..., Catalog],
) -> None:
    catalog = open_catalog(quotas=Quotas(size=20))
    first, second = catalog.create_raw(), catalog.create_raw()

    class Body:
        """While it is read, another upload takes the room."""

        def __init__(self) -> None:
            self.pieces: Iterator[bytes] = iter([bytes(8), bytes(7)])

        def read(self, _size: int) -> bytes:
            piece = next(self.pieces)
            if len(piece) == 7:
                assert catalog.put(second, bytes(15)).status_code == 204
            return piece

    environ = {"wsgi.input": Body(), "CONTENT_LENGTH": "15"}
    check_refused(upload(catalog, first, environ), "20 bytes")
    assert catalog.show(first)["status"] == "queued"
    assert usage(catalog)["image_count_uploading"] == {"limit": -1, "usage": 0}


def upload(catalog: Catalog, image_id: str, environ: dict[str, Any]) -> Any:
    return catalog.request(
        "PUT",
        f"/v2/images/{image_id}/file",
        content_type="application/octet-stream",
        environ_overrides=environ,
    )


def test_no_more_uploads_at_once_than_the_quota(open_catalog: Callable[..., Catalog]) -> None:
    catalog = open_catalog(quotas=Quotas(uploads=1))
    first, second = catalog.create_raw(), catalog.create_raw()
    answers: list[Any] = []

    class Body:
        """While it is read, another upload is tried."""

        def read(self, _size: int) -> bytes:
            answers.append(catalog.put(second, b"abc"))
            answers.append(usage(catalog)["image_count_uploading"])
            return b"data"

    environ = {"wsgi.input": Body(), "CONTENT_LENGTH": "4"}
    assert upload(catalog, first, environ).status_code == 204
    check_refused(answers[0], "1 uploads")
    assert answers[1] == {"limit": 1, "usage": 1}
    assert catalog.put(second, b"abc").status_code == 204


def test_usage_shows_the_quotas_of_the_project(open_catalog: Callable[..., Catalog]) -> None:
    own = {"p2": Quotas(images=3, size=5 * MIB)}
    catalog = open_catalog(quotas=Quotas(size=7 * MIB, uploads=2), project_quotas=own)
    catalog.create_active(bytes(MIB))
    assert usage(catalog) == {
        "image_size_total": {"limit": 7, "usage": 1},
        "image_count_total": {"limit": -1, "usage": 1},
        "image_stage_total": {"limit": -1, "usage": 0},
        "image_count_uploading": {"limit": 2, "usage": 0},
    }
    other = usage(catalog.as_("p2"))
    assert other["image_size_total"] == {"limit": 5, "usage": 0}
    assert other["image_count_total"] == {"limit": 3, "usage": 0}
    assert other["image_count_uploading"]["limit"] == -1
