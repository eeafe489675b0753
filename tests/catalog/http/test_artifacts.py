"""Artifacts over HTTP: their life, their bytes, what they depend on, and how they are found."""

import hashlib
from typing import Any

import pytest
from werkzeug.test import TestResponse

from catalog_story import Catalog

LOCATION = "application/vnd+openstack.glare-custom-location+json"
DATA = b"heat_template_version: 2021-04-16\n"


def draft(catalog: Catalog, kind: str = "generic", **values: Any) -> str:
    answer = catalog.request("POST", f"/artifacts/{kind}", json={"name": "a"} | values)
    assert answer.status_code == 201, answer.text
    return f"/artifacts/{kind}/{answer.get_json()['id']}"


def patch(catalog: Catalog, path: str, **values: Any) -> TestResponse:
    steps = [{"op": "add", "path": f"/{name}", "value": value} for name, value in values.items()]
    return catalog.request("PATCH", path, json=steps)


def fill(catalog: Catalog, path: str, data: bytes = DATA, media: str = "text/x-yaml") -> Any:
    return catalog.request("PUT", path, data=data, content_type=media)


def active(catalog: Catalog, **values: Any) -> str:
    path = draft(catalog, **values)
    assert patch(catalog, path, status="active").status_code == 200
    return path


def test_from_a_draft_to_its_end(catalog: Catalog) -> None:
    path = draft(catalog, "heat_templates", name="web", version="1.2")
    assert patch(catalog, path, status="active").status_code == 400  # it has no template yet
    filled = fill(catalog, f"{path}/template")
    assert filled.status_code == 200
    blob = filled.get_json()["template"]
    assert blob["sha256"] == hashlib.sha256(DATA).hexdigest()
    assert (blob["size"], blob["content_type"]) == (len(DATA), "text/x-yaml")
    made = patch(catalog, path, status="active").get_json()
    assert (made["status"], made["version"]) == ("active", "1.2.0")
    assert made["activated_at"] is not None
    got = catalog.request("GET", blob["url"])
    assert (got.data, got.headers["Content-Disposition"]) == (DATA, "attachment")
    part = catalog.request("GET", blob["url"], headers={"Range": "bytes=5-12"})
    assert (part.status_code, part.data) == (206, DATA[5:13])
    assert catalog.request("DELETE", path).status_code == 204
    assert catalog.request("GET", path).status_code == 404
    assert catalog.files() == []


def test_what_is_active_stays_as_it_is(catalog: Catalog) -> None:
    path = draft(catalog, "heat_templates", name="web")
    fill(catalog, f"{path}/template")
    patch(catalog, path, status="active")
    assert patch(catalog, path, name="other").status_code == 403
    assert fill(catalog, f"{path}/nested_templates/x.yaml").status_code == 403
    changed = patch(catalog, path, default_envs={"a": "b"}, description="new", tags=["x"])
    assert changed.status_code == 200
    assert changed.get_json()["default_envs"] == {"a": "b"}
    assert patch(catalog, path, status="drafted").status_code == 409


def test_bytes_are_not_written_over_and_leave_nothing_when_they_fail(catalog: Catalog) -> None:
    path = draft(catalog)
    assert fill(catalog, f"{path}/files/one").status_code == 200
    assert fill(catalog, f"{path}/files/one").status_code == 409
    assert fill(catalog, f"{path}/files").status_code == 404
    assert fill(catalog, f"{path}/nope").status_code == 404
    assert fill(catalog, f"{path}/files/two").status_code == 200
    assert len(catalog.files()) == 2
    small = draft(catalog, "heat_environments")
    assert fill(catalog, f"{small}/environment", bytes((1 << 20) + 1)).status_code == 413
    package = draft(catalog, "murano_packages")
    assert fill(catalog, f"{package}/package", media="text/html").status_code == 415
    assert len(catalog.files()) == 2


def test_bytes_elsewhere(catalog: Catalog) -> None:
    path = draft(catalog)
    place = {"url": "https://example.org/x", "md5": "0" * 32}

    def put(body: Any) -> TestResponse:
        return catalog.request("PUT", f"{path}/content", json=body, content_type=LOCATION)

    assert put({"url": "https://example.org/x"}).status_code == 400
    assert put(place | {"url": "http://169.254.169.254/"}).status_code == 400
    assert put(place | {"md5": "short"}).status_code == 400
    assert put(place).get_json()["content"]["external"] is True
    answer = catalog.request("GET", f"{path}/content")
    assert (answer.status_code, answer.headers["Location"]) == (302, place["url"])
    assert catalog.request("DELETE", f"{path}/content").get_json()["content"] is None
    assert catalog.request("DELETE", f"{path}/content").status_code == 404


def test_what_others_need_stays(catalog: Catalog) -> None:
    base = draft(catalog, name="base")
    base_id = base.rpartition("/")[2]
    top = draft(catalog, name="top", depends_on=[base_id])
    top_id = top.rpartition("/")[2]
    assert catalog.request("DELETE", base).status_code == 409
    assert patch(catalog, top, status="active").status_code == 400  # the base is not active
    assert patch(catalog, base, status="active").status_code == 200
    assert patch(catalog, top, status="active").status_code == 200
    found = catalog.request("GET", f"{top}/dependencies").get_json()["dependencies"]
    assert [each["name"] for each in found[top_id]] == ["base"]
    assert found[base_id] == []
    assert catalog.request("DELETE", top).status_code == 204
    assert catalog.request("DELETE", base).status_code == 204


def test_links_lead_to_what_there_is_and_not_back(catalog: Catalog) -> None:
    one = draft(catalog, name="one")
    one_id = one.rpartition("/")[2]
    two = draft(catalog, name="two", depends_on=[one_id])
    back = patch(catalog, one, depends_on=[two.rpartition("/")[2]])
    assert back.status_code == 400
    assert "back" in back.text
    assert patch(catalog, one, depends_on=[one_id]).status_code == 400
    assert patch(catalog, one, depends_on=["no-such-artifact"]).status_code == 400
    hidden = draft(catalog.as_("p2"), name="hidden").rpartition("/")[2]
    assert patch(catalog, one, depends_on=[hidden]).status_code == 400
    body = {"name": "m", "trained_on": [one_id]}
    wrong = catalog.request("POST", "/artifacts/models", json=body)
    assert "datasets" in wrong.text


def test_others_see_what_an_administrator_made_public(catalog: Catalog) -> None:
    path = draft(catalog)
    other, admin = catalog.as_("p2"), catalog.as_("p1", "admin,member,reader")
    assert patch(admin, path, visibility="public").status_code == 409  # it is a draft
    patch(catalog, path, status="active")
    assert patch(catalog, path, visibility="public").status_code == 403
    assert other.request("GET", path).status_code == 404
    assert patch(admin, path, visibility="public").status_code == 200
    assert other.request("GET", path).status_code == 200
    assert patch(other, path, description="mine").status_code == 403
    assert other.request("DELETE", path).status_code == 403


def test_bytes_of_what_is_deactivated_are_for_administrators(catalog: Catalog) -> None:
    path = draft(catalog)
    fill(catalog, f"{path}/content")
    patch(catalog, path, status="active")
    admin = catalog.as_("p1", "admin,member,reader")
    assert patch(catalog, path, status="deactivated").status_code == 403
    assert patch(admin, path, status="deactivated").status_code == 200
    assert catalog.request("GET", f"{path}/content").status_code == 403
    assert admin.request("GET", f"{path}/content").data == DATA
    assert patch(catalog, path, status="active").status_code == 403
    assert patch(admin, path, status="active").status_code == 200


def test_pages_lead_on_and_each_type_has_its_list(catalog: Catalog) -> None:
    for number in range(3):
        draft(catalog, name=f"g{number}")
    draft(catalog, "datasets", name="d")
    page = catalog.request("GET", "/artifacts/generic?limit=2&sort=name:asc").get_json()
    assert [each["name"] for each in page["generic"]] == ["g0", "g1"]
    rest = catalog.request("GET", page["next"]).get_json()
    assert [each["name"] for each in rest["artifacts"]] == ["g2"]
    assert "next" not in rest
    everything = catalog.request("GET", "/artifacts/all").get_json()["artifacts"]
    assert sorted(each["type_name"] for each in everything) == ["datasets"] + ["generic"] * 3
    assert catalog.request("GET", "/artifacts/nothing").status_code == 404


def test_a_project_declares_types_of_its_own(catalog: Catalog) -> None:
    kind = {
        "name": "recipes",
        "display_name": "Recipe",
        "fields": {"minutes": {"kind": "integer", "least": 1, "required_on_activate": True}},
    }
    answer = catalog.request("POST", "/schemas", json=kind)
    assert answer.status_code == 201
    assert answer.get_json()["schemas"]["recipes"]["properties"]["minutes"]["minimum"] == 1
    path = draft(catalog, "recipes", name="soup")
    assert patch(catalog, path, minutes=0).status_code == 400
    assert patch(catalog, path, minutes=30).status_code == 200
    assert patch(catalog, path, status="active").status_code == 200
    other = catalog.as_("p2")
    assert other.request("GET", "/artifacts/recipes").status_code == 404
    gone = kind | {"fields": {}}
    assert catalog.request("POST", "/schemas", json=gone).status_code == 400
    taken = kind | {"name": "generic"}
    assert catalog.request("POST", "/schemas", json=taken).status_code == 400
    slow = kind | {"name": "slow", "fields": {"x": {"kind": "text", "pattern": "(a+)+"}}}
    assert catalog.request("POST", "/schemas", json=slow).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        [], {}, {"name": ""}, {"name": 5}, {"name": "a", "version": "one"}, {"name": "a" * 256},
        {"name": "a", "id": "x"}, {"name": "a", "status": "active"}, {"name": "a", "nope": 1},
        {"name": "a", "tags": "x"}, {"name": "a", "tags": ["a,b"]},
        {"name": "a", "metadata": {"a": 1}},
        {"name": "a", "visibility": "public"}, {"name": "a", "depends_on": [5]},
        {"name": "a", "content": "bytes"}, {"name": "a", "description": "\0"},
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_is_refused(catalog: Catalog, body: Any) -> None:
    answer = catalog.request("POST", "/artifacts/generic", json=body)
    assert 400 <= answer.status_code < 500
    assert answer.get_json()["error"]["message"]


@pytest.mark.parametrize(
    "steps",
    [
        {}, ["x"], [{"op": "jump", "path": "/name", "value": 1}], [{"op": "add", "path": "name"}],
        [{"op": "add", "path": "/"}], [{"op": "replace", "path": "/tags/7", "value": "x"}],
        [{"op": "add", "path": "/metadata/a/b", "value": "x"}],
        [{"op": "remove", "path": "/name"}], [{"op": "add", "path": "/status", "value": "odd"}],
        [{"op": "remove", "path": "/metadata/none"}],
        [{"op": "add", "path": "/owner", "value": "p2"}],
    ],
)  # fmt: skip
def test_a_patch_that_cannot_be_is_refused(catalog: Catalog, steps: Any) -> None:
    path = draft(catalog)
    assert catalog.request("PATCH", path, json=steps).status_code == 400
    test = [{"op": "test", "path": "/name", "value": "other"}]
    assert catalog.request("PATCH", path, json=test).status_code == 409
