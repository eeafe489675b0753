"""PATCH in RFC 6902's own media type."""

from typing import Any

import pytest

from catalog_story import Catalog

RFC = "application/json-patch+json"


def op(verb: str, path: Any, *value: Any, **more: Any) -> dict[str, Any]:
    step: dict[str, Any] = {"op": verb, "path": path, **more}
    return {**step, "value": value[0]} if value else step


def create(catalog: Catalog) -> str:
    return str(catalog.create(name="old", tags=["a", "b"], k="v", **{"a/b~c": "slash"})["id"])


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([op("replace", "/name", "new")], {"name": "new"}),
        ([op("add", "/name", None)], {"name": None}),
        ([op("add", "/p", "q"), op("test", "/p", "q")], {"p": "q"}),
        ([op("remove", "/k")], {"k": None}),
        ([op("move", "/l", **{"from": "/k"})], {"k": None, "l": "v"}),
        ([op("copy", "/l", **{"from": "/k"})], {"k": "v", "l": "v"}),
        ([op("copy", "/l", **{"from": "/tags/0"})], {"l": "a"}),
        ([op("test", "/status", "queued"), op("replace", "/k", "w")], {"k": "w"}),
        ([op("test", "/tags", ["a", "b"]), op("add", "/tags/-", "c")], {"tags": ["a", "b", "c"]}),
        ([op("add", "/tags/0", "0")], {"tags": ["0", "a", "b"]}),
        ([op("replace", "/tags/1", "z")], {"tags": ["a", "z"]}),
        ([op("remove", "/tags/0")], {"tags": ["b"]}),
        ([op("add", "/tags", []), op("add", "/tags/-", "x")], {"tags": ["x"]}),
        ([op("remove", "/a~1b~0c")], {"a/b~c": None}),
        ([op("add", "/temp", "x"), op("remove", "/temp")], {"temp": None}),
        ([op("replace", "/min_ram", 5), op("replace", "/protected", True)], {"min_ram": 5}),
        ([], {"name": "old"}),
    ],
)
def test_an_operation_changes_the_image(
    catalog: Catalog, steps: Any, expected: dict[str, Any]
) -> None:
    image_id = create(catalog)
    answer = catalog.patch(image_id, steps, RFC)
    assert answer.status_code == 200, answer.text
    shown = catalog.show(image_id)
    assert answer.get_json() == shown
    assert {name: shown.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("steps", "status"),
    [
        ({}, 400),
        ([1], 400),
        ([{}], 400),
        ([{"op": ["add"], "path": "/k", "value": "x"}], 400),
        ([op("append", "/k", "x")], 400),
        ([op("add", "/k")], 400),
        ([op("add", "", "x")], 400),
        ([op("add", "k", "x")], 400),
        ([op("add", 5, "x")], 400),
        ([op("add", "/k~2", "x")], 400),
        ([op("add", "/a/b/c", "x")], 400),
        ([op("add", "/k/x", "x")], 400),
        ([op("add", "/tags/x", "x")], 400),
        ([op("add", "/tags/01", "x")], 400),
        ([op("add", "/tags/-1", "x")], 400),
        ([op("add", "/tags/" + "9" * 9, "x")], 400),
        ([op("remove", "/tags/-")], 400),
        ([op("copy", "/k")], 400),
        ([op("copy", "/tags/0", **{"from": "/tags"})], 400),
        ([op("copy", "/p", **{"from": "/tags"})], 400),
        ([op("add", "/p", {})], 400),
        ([op("add", "/p", [[]])], 400),
        ([op("add", "/tags/-", ["x"])], 400),
        ([op("add", "/p", 1)], 400),
        ([op("add", "/p", ["x"])], 400),
        ([op("replace", "/min_ram", True)], 400),
        ([op("replace", "/visibility", "wrong")], 400),
        ([op("remove", "/name")], 403),
        ([op("replace", "/status", "active")], 403),
        ([op("replace", "/id", "x")], 403),
        ([op("remove", "/self")], 403),
        ([op("move", "/p", **{"from": "/name"})], 403),
        ([op("add", "/os_glance_x", "x")], 403),
        ([op("replace", "/visibility", "public")], 403),
        ([op("replace", "/missing", "x")], 409),
        ([op("remove", "/missing")], 409),
        ([op("remove", "/tags/2")], 409),
        ([op("add", "/tags/3", "x")], 409),
        ([op("add", "/missing/0", "x")], 409),
        ([op("move", "/tags/0", **{"from": "/tags"})], 400),
        ([op("test", "/name", "new")], 409),
        ([op("test", "/min_ram", False)], 409),
        ([op("test", "/protected", 0)], 409),
        ([op("test", "/tags", ["a"])], 409),
        ([op("test", "/missing", None)], 409),
        ([op("replace", "/name", "new"), op("test", "/name", "old")], 409),
        ([op("add", "/tags", ["t"] * 129)], 413),
        ([op("add", "/tags/-", f"t{number}") for number in range(127)], 413),
        ([op("add", f"/p{number}", "x") for number in range(127)], 413),
        (
            [
                op("add", "/p", "x" * 200_000),
                *(op("copy", f"/p{each}", **{"from": "/p"}) for each in range(6)),
            ],
            413,
        ),
    ],
)
def test_a_document_that_cannot_be_followed_changes_nothing(
    catalog: Catalog, steps: Any, status: int
) -> None:
    image_id = create(catalog)
    before = catalog.show(image_id)
    answer = catalog.patch(image_id, steps, RFC)
    assert answer.status_code == status, answer.text
    assert answer.get_json()["error"]["status"] == status
    assert catalog.show(image_id) == before


def test_the_failed_test_has_a_code_of_its_own(catalog: Catalog) -> None:
    answer = catalog.patch(create(catalog), [op("test", "/name", "new")], RFC)
    assert answer.get_json()["error"]["code"] == "catalog.patch.test_failed"


def test_properties_do_not_grow_without_end(catalog: Catalog) -> None:
    image_id = create(catalog)
    big = "x" * 600_000
    assert catalog.patch(image_id, [op("add", "/p", big)]).status_code == 200
    answer = catalog.patch(image_id, [op("add", "/q", big)])
    assert answer.status_code == 413
    assert "q" not in catalog.show(image_id)
