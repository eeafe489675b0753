"""Sharing images: its limit, wrong bodies, and what is announced."""

from collections.abc import Callable
from typing import Any

import pytest

from catalog_story import Catalog, Heard
from kilo_catalog.domain.limits import Limits
from kilo_catalog.tasks.outbox_relay import OutboxRelay


def members_of(image_id: str) -> str:
    return f"/v2/images/{image_id}/members"


def code(answer: Any) -> str:
    return str(answer.get_json()["error"]["code"])


@pytest.mark.parametrize(
    "body",
    [
        [],
        "p2",
        {},
        {"member": None},
        {"member": ""},
        {"member": "  "},
        {"member": 5},
        {"member": ["p2"]},
        {"member": "a\0b"},
        {"member": "m" * 256},
        {"project": "p2"},
    ],
)
def test_a_member_that_is_none_is_refused(catalog: Catalog, body: Any) -> None:
    path = members_of(catalog.create()["id"])
    answer = catalog.request("POST", path, json=body)
    assert (answer.status_code, code(answer)) == (400, "catalog.member.invalid")
    assert catalog.request("GET", path).get_json()["members"] == []


@pytest.mark.parametrize(
    "body",
    [[], "accepted", {}, {"status": None}, {"status": "ACCEPTED"}, {"status": ["accepted"]}],
)
def test_a_status_that_is_none_is_refused(catalog: Catalog, body: Any) -> None:
    path = members_of(catalog.create()["id"])
    catalog.request("POST", path, json={"member": "p2"})
    answer = catalog.as_("p2").request("PUT", f"{path}/p2", json=body)
    assert (answer.status_code, code(answer)) == (400, "catalog.member.invalid")


@pytest.mark.parametrize("project", ["x", "m" * 5000, "%FF", "'--", "ä", "a b"])
def test_a_member_that_is_not_there_is_not_found(catalog: Catalog, project: str) -> None:
    path = f"{members_of(catalog.create()['id'])}/{project}"
    for method in ("GET", "DELETE"):
        answer = catalog.request(method, path)
        assert (answer.status_code, code(answer)) == (404, "catalog.member.not_found")
    answer = catalog.request("PUT", path, json={"status": "accepted"})
    assert answer.status_code == 404


def test_no_more_members_than_the_limit(open_catalog: Callable[..., Catalog]) -> None:
    catalog = open_catalog(limits=Limits(members=2))
    path = members_of(catalog.create()["id"])
    for project in ("p2", "p3"):
        assert catalog.request("POST", path, json={"member": project}).status_code == 200
    answer = catalog.request("POST", path, json={"member": "p4"})
    assert (answer.status_code, code(answer)) == (413, "catalog.limit_exceeded")
    assert catalog.request("POST", path, json={"member": "p2"}).status_code == 409
    assert len(catalog.request("GET", path).get_json()["members"]) == 2


def test_an_accepted_image_can_be_downloaded(catalog: Catalog) -> None:
    image_id = catalog.create_active(b"shared")
    other = catalog.as_("p2")
    path = members_of(image_id)
    assert other.request("GET", f"/v2/images/{image_id}/file").status_code == 404
    catalog.request("POST", path, json={"member": "p2"})
    assert other.request("GET", f"/v2/images/{image_id}/file").data == b"shared"
    catalog.request("DELETE", f"{path}/p2")
    assert other.request("GET", f"/v2/images/{image_id}/file").status_code == 404


def test_a_member_does_not_fill_or_tag_an_image(catalog: Catalog) -> None:
    image_id = catalog.create_raw()
    catalog.request("POST", members_of(image_id), json={"member": "p2"})
    other = catalog.as_("p2")
    assert other.put(image_id, b"mine").status_code == 403
    assert other.request("PUT", f"/v2/images/{image_id}/tags/mine").status_code == 403
    assert catalog.show(image_id)["status"] == "queued"


def test_what_becomes_of_members_is_announced(catalog: Catalog, heard: Heard) -> None:
    image_id = catalog.create()["id"]
    path = members_of(image_id)
    catalog.request("POST", path, json={"member": "p2"})
    catalog.clock.advance(5)
    catalog.as_("p2").request("PUT", f"{path}/p2", json={"status": "accepted"})
    catalog.request("DELETE", f"{path}/p2")
    relay = next(each for each in catalog.api.services if isinstance(each, OutboxRelay))
    relay.run_once()
    _created, shared, accepted, removed = heard.take(4)
    assert [each.event_type for each in (shared, accepted, removed)] == [
        "image.member.create", "image.member.update", "image.member.delete",
    ]  # fmt: skip
    assert shared.payload["status"] == "pending"
    assert accepted.payload["status"] == removed.payload["status"] == "accepted"
    assert accepted.payload["updated_at"] > accepted.payload["created_at"]
    assert {each.payload["member_id"] for each in (shared, accepted, removed)} == {"p2"}
    assert {each.payload["image_id"] for each in (shared, accepted, removed)} == {image_id}
    assert {each.context["project_id"] for each in (shared, accepted, removed)} == {"p1"}
