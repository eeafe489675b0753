"""Hostile and mistaken requests: each gets a 4xx in the API's own shape, never a traceback."""

from typing import Any

import pytest

from catalog_story import V20, V21, Catalog

LONG = "n" * 256


def check_error(answer: Any, status: int) -> None:
    assert answer.status_code == status, answer.text
    error = answer.get_json()["error"]
    assert error["status"] == status
    assert error["code"].count(".") >= 1
    assert error["message"]
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"id": "x"}, 400),
        ({"id": 5}, 400),
        ({"id": None}, 400),
        ({"visibility": "wrong"}, 400),
        ({"visibility": None}, 400),
        ({"visibility": []}, 400),
        ({"disk_format": "zzz"}, 400),
        ({"disk_format": 1}, 400),
        ({"container_format": {}}, 400),
        ({"status": "active"}, 403),
        ({"size": 1}, 403),
        ({"checksum": "x"}, 403),
        ({"owner": "p2"}, 403),
        ({"owner": ""}, 400),
        ({"visibility": "public"}, 403),
        ({"min_disk": -1}, 400),
        ({"min_disk": 2**31}, 400),
        ({"min_disk": 10**40}, 400),
        ({"min_disk": True}, 400),
        ({"min_disk": 1.5}, 400),
        ({"min_ram": "1"}, 400),
        ({"protected": "yes"}, 400),
        ({"os_hidden": 1}, 400),
        ({"name": LONG}, 400),
        ({"name": 5}, 400),
        ({"name": "a\0b"}, 400),
        ({"prop": 1}, 400),
        ({"prop": None}, 400),
        ({"prop": "a\0b"}, 400),
        ({"": "v"}, 400),
        ({"p\0": "v"}, 400),
        ({LONG: "v"}, 400),
        ({"os_glance_x": "v"}, 403),
        ({"deleted": "x"}, 403),
        ({"self": "x"}, 403),
        ({"stores": "main"}, 403),
        ({"locations": []}, 403),
        ({"tags": ["t" * 256]}, 400),
        ({"tags": [""]}, 400),
        ({"tags": "abc"}, 400),
        ({"tags": [1]}, 400),
        ({"tags": [f"t{number}" for number in range(129)]}, 413),
        ({f"k{number}": "v" for number in range(129)}, 413),
        ([1], 400),
        ("text", 400),
        (None, 400),
        (5, 400),
    ],
)
def test_a_create_with_a_wrong_value_is_refused(catalog: Catalog, body: Any, status: int) -> None:
    check_error(catalog.request("POST", "/v2/images", json=body), status)


BROKEN_JSON = [
    (b"", 400),
    (b"{", 400),
    (b'{"name": "x"', 400),
    (b"\xff\xfe", 400),
    (b'{"name": "\xff"}', 400),
    (b'{"name": "\\ud800"}', 400),
    (b'{"a":' * 5000, 400),
    (b'{"min_disk": 1e999}', 400),
    (b'{"min_disk": ' + b"9" * 5000 + b"}", 400),
    (b'{"name": NaN}', 400),
    (b'{"p": "' + b"x" * (1 << 20) + b'"}', 413),
]


@pytest.mark.parametrize(("body", "status"), BROKEN_JSON, ids=range(len(BROKEN_JSON)))
def test_a_body_that_is_not_sound_json_is_refused(
    catalog: Catalog, body: bytes, status: int
) -> None:
    check_error(catalog.request("POST", "/v2/images", data=body), status)


def add(path: Any, value: Any = "v", op: Any = "add") -> list[Any]:
    return [{"op": op, "path": path, "value": value}]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (add("/k"), 200),
        (add("/name", None), 200),
        (add("/a~1b~0c"), 200),
        (add("/tags", ["x"]), 200),
        (add("/name", "x", "replace"), 200),
        ([], 200),
        (add("/missing", "v", "replace"), 409),
        ([{"op": "remove", "path": "/missing"}], 409),
        ([{"op": "remove", "path": "/name"}], 403),
        (add("/status", "active", "replace"), 403),
        (add("/id", "x", "replace"), 403),
        (add("/locations", []), 403),
        (add("/os_glance_x"), 403),
        (add("/owner", "p2", "replace"), 403),
        (add("/visibility", "public", "replace"), 403),
        (add("/tags/-"), 400),
        (add("/a/b"), 400),
        (add("k"), 400),
        (add("/"), 400),
        (add(""), 400),
        (add(None), 400),
        (add("/a~2b"), 400),
        (add("/a~"), 400),
        (add("/k", 5), 400),
        (add("/k", None), 400),
        (add("/" + LONG), 400),
        (add("/k", "v", "test"), 400),
        (add("/k", "v", "move"), 400),
        (add("/k", "v", ["add"]), 400),
        (add("/k", "v", {}), 400),
        ([{"op": "add", "path": "/k"}], 400),
        ([{"path": "/k", "value": "v"}], 400),
        ([{"add": "/k", "value": "v"}], 400),
        ([5], 400),
        ({"op": "add"}, 400),
        ("x", 400),
        (None, 400),
        ([{"op": "add", "path": f"/k{number}", "value": "v"} for number in range(129)], 413),
    ],
)
def test_a_patch_says_what_is_wrong_with_it(catalog: Catalog, body: Any, status: int) -> None:
    image_id = catalog.create(name="x")["id"]
    answer = catalog.patch(image_id, body)
    if status == 200:
        assert answer.status_code == 200, answer.text
    else:
        check_error(answer, status)
        assert catalog.show(image_id)["name"] == "x"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([{"add": "/new", "value": "v"}], 200),
        ([{"replace": "/name", "value": "y"}], 200),
        ([{"remove": "/k"}], 200),
        (add("/new"), 200),
        (add("/k"), 409),
        (add("/name", "y"), 409),
        ([{"add": "/a", "remove": "/k", "value": "v"}], 400),
        ([{"move": "/k"}], 400),
    ],
)
def test_the_older_patch_has_a_short_form_and_a_strict_add(
    catalog: Catalog, body: Any, status: int
) -> None:
    image_id = catalog.create(name="x", k="v")["id"]
    assert catalog.patch(image_id, body, V20).status_code == status


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1", "limit=x", "limit=", "limit=1.5", "limit=99999999999999999999", "limit=%C2%B2",
        "marker=nope", "marker=%00", "marker=", "sort=bad", "sort=name:up", "sort=",
        "sort=name,name",
        "sort=name&sort_key=id", "sort_key=name&sort_dir=up", "sort_dir=up",
        "sort_key=name&sort_key=id&sort_dir=asc&sort_dir=desc&sort_dir=asc",
        "name=neq:probe", "name=eq:x", "owner=gt:x", "k=lt:x", 'name=in:"a', 'name=in:a"b"',
        "visibility=bogus", "visibility=in:public", "created_at=bad", "created_at=gt:",
        "created_at=in:x",
        "created_at=0001-01-01T00:00:00%2B14:00", "created_at=gt:9999-12-31T23:59:59Z",
        "size_min=x", "size_min=-1", "size_max=99999999999999999999", "size=x", "min_ram_min=x",
        "os_hidden=1", "protected=yes", "member_status=x", "changes-since=2020-01-01T00:00:00Z",
        "foo=%00", "%00=foo", "name=%00", "tag=%00", "owner=%00",
    ],
)  # fmt: skip
def test_a_malformed_listing_is_refused(catalog: Catalog, query: str) -> None:
    check_error(catalog.request("GET", f"/v2/images?{query}"), 400)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=99999", "name=in:%22a,b%22,x", "status=bogus", "visibility=all",
        "created_at=gt:2020-01-01T00:00:00Z", "size_max=9223372036854775807",
        "size=9223372036854775807",
        "tag=", "tag=a&tag=b", "member_status=all", "foo=bar", "self=x", "foo=%FF", "name=%FF%FE",
        "disk_format=in:raw", "id=" + "x" * 5000, "os_hidden=true", "&&&", "=", "x",
    ],
)  # fmt: skip
def test_a_listing_that_matches_nothing_is_empty(catalog: Catalog, query: str) -> None:
    answer = catalog.request("GET", f"/v2/images?{query}")
    assert answer.status_code == 200, answer.text
    assert answer.get_json()["images"] == []


@pytest.mark.parametrize("image_id", ["x", "0" * 5000, "%00", "..", "%2e%2e", "%FF", "'--", "ä"])
def test_an_id_that_is_none_is_not_found(catalog: Catalog, image_id: str) -> None:
    for method, path in (
        ("GET", ""), ("DELETE", ""), ("GET", "/file"), ("DELETE", "/tags/x"), ("PUT", "/tags/x"),
        ("POST", "/actions/deactivate"),
    ):  # fmt: skip
        check_error(catalog.request(method, f"/v2/images/{image_id}{path}"), 404)
    check_error(catalog.put(image_id, b"x"), 404)
    check_error(catalog.patch(image_id, [], V21), 404)


def test_a_tag_may_not_be_too_long(catalog: Catalog) -> None:
    image_id = catalog.create()["id"]
    check_error(catalog.request("PUT", f"/v2/images/{image_id}/tags/{LONG}"), 400)


def test_a_tag_may_be_in_any_script(catalog: Catalog) -> None:
    image_id = catalog.create()["id"]
    assert catalog.request("PUT", f"/v2/images/{image_id}/tags/ä🐍").status_code == 204
    assert catalog.show(image_id)["tags"] == ["ä🐍"]


def test_no_more_tags_than_the_limit(catalog: Catalog) -> None:
    image_id = catalog.create(tags=[f"t{number}" for number in range(128)])["id"]
    assert catalog.request("PUT", f"/v2/images/{image_id}/tags/t1").status_code == 204
    check_error(catalog.request("PUT", f"/v2/images/{image_id}/tags/more"), 413)


@pytest.mark.parametrize(
    "path",
    ["/v2/images/x/owners", "/v2/flows", "/v2/metadefs/spaces", "/v3/images", "/v2.x/images",
     "/v2//images", "/v2/images/", "/%00"],
)  # fmt: skip
def test_paths_that_are_not_served_are_not_found(catalog: Catalog, path: str) -> None:
    check_error(catalog.request("GET", path), 404)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes=0-3", b"0123"),
        ("bytes=-3", b"789"),
        ("bytes=8-", b"89"),
        ("bytes=9-9999", b"9"),
        ("bytes=-9999", b"0123456789"),
        ("BYTES = 1 - 2", b"12"),
    ],
)
def test_a_range_is_served(catalog: Catalog, text: str, expected: bytes) -> None:
    image_id = catalog.create_active()
    answer = catalog.request("GET", f"/v2/images/{image_id}/file", headers={"Range": text})
    assert (answer.status_code, answer.data) == (206, expected)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("bytes=10-", 416),
        ("bytes=9-3", 416),
        ("bytes=-0", 416),
        ("bytes=-", 416),
        ("junk", 416),
        ("bytes=" + "9" * 99 + "-", 416),
        ("bytes=²-", 416),
        ("bytes=0-1,5-6", 400),
    ],
)
def test_a_range_that_is_none_is_refused(catalog: Catalog, text: str, status: int) -> None:
    image_id = catalog.create_active()
    answer = catalog.request("GET", f"/v2/images/{image_id}/file", headers={"Range": text})
    check_error(answer, status)


def test_no_range_of_an_empty_image(catalog: Catalog) -> None:
    image_id = catalog.create_active(b"")
    path = f"/v2/images/{image_id}/file"
    assert catalog.request("GET", path).data == b""
    check_error(catalog.request("GET", path, headers={"Range": "bytes=0-"}), 416)
