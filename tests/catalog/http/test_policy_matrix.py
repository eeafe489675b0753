"""Who may do what: every route, asked by every role and by other projects, against one table.

Each caller meets things of its own, made anew, so that no answer depends on the one before. Images
and namespaces belong to p1; shared images have p2 and p4 as members; p3 has nothing to do with
them.
"""

from typing import Any

import pytest

from catalog_story import DATA, V21, Catalog

CALLERS = (
    ("p1", "reader"),
    ("p1", "member"),
    ("p1", "manager"),
    ("p9", "admin"),
    ("p1", "service"),
    ("p1", "unheard-of"),
    ("p2", "member"),
    ("p2", "reader"),
    ("p3", "member"),
)
EVERYBODY = "200 200 200 200 200 200 200 200 200"
READERS = "200 200 200 200 403 403 200 200 200"
ADMIN = "403 403 403 200 403 403 403 403 403"
SEE_SHARED = "200 200 200 200 403 403 200 200 404"
OWNER_200 = "403 200 200 200 403 403 403 403 404"
OWNER_204 = "403 204 204 204 403 403 403 403 404"
TUS = {"Tus-Resumable": "1.0.0", "Upload-Length": "4", "Upload-Offset": "0"}
COPY = {"method": {"name": "copy-image"}, "stores": ["second"]}
TASK = {
    "type": "import",
    "input": {"import_from": "http://images.test/x", "import_from_format": "raw"},
}

ADMIN_200 = "403 403 403 200 403 403 403 403 403"
ADMIN_201 = "403 403 403 201 403 403 403 403 403"
ADMIN_204 = "403 403 403 204 403 403 403 403 403"
OWN_NAMESPACE = "200 200 200 200 403 403 404 404 404"
ADMIN_OF_PRIVATE_204 = "403 403 403 204 403 403 404 404 404"
NAMESPACE = "/v2/metadefs/namespaces/<namespace>"
ARTIFACT = "/artifacts/<type_name>/<artifact_id>"
ANY_MEMBER_201 = "403 201 201 201 403 403 201 403 201"
OWN_ARTIFACT_200 = "403 200 200 200 403 403 404 404 404"
ADMIN_OF_ARTIFACT = "403 403 403 200 403 403 404 404 404"
BYTES = {"GET": "content", "PUT": "files/new", "DELETE": "files/away"}
ELSEWHERE = "application/vnd+openstack.glare-custom-location+json"
DEFINITION = {"name": "new", "title": "New", "type": "string"}

# method, path, the image or namespace it is about, body, and the answer to each of the callers, in
# their order:
#                            reader member manager admin service none | other project's members,
#                            one of which may only read | a stranger
TABLE: tuple[tuple[str, str, str, Any, str], ...] = (
    ("GET", "/", "", None, "300 300 300 300 300 300 300 300 300"),
    ("GET", "/versions", "", None, EVERYBODY),
    ("GET", "/v2/openapi.json", "", None, EVERYBODY),
    ("GET", "/v2/schemas/<name>", "", None, EVERYBODY),
    ("GET", "/v2/schemas/metadefs/<name>", "", None, EVERYBODY),
    ("GET", "/schemas", "", None, READERS),
    ("POST", "/schemas", "", {"name": "recipes", "display_name": "Recipe"}, ANY_MEMBER_201),
    ("GET", "/schemas/<name>", "", None, EVERYBODY),
    ("GET", "/artifacts/<type_name>", "", None, READERS),
    ("POST", "/artifacts/<type_name>", "private artifact", {"name": "new"}, ANY_MEMBER_201),
    ("GET", ARTIFACT, "private artifact", None, OWN_NAMESPACE),
    ("GET", ARTIFACT, "public artifact", None, READERS),
    ("GET", f"{ARTIFACT}/dependencies", "private artifact", None, OWN_NAMESPACE),
    ("PATCH", ARTIFACT, "private artifact", {"description": "x"}, OWN_ARTIFACT_200),
    ("PATCH", ARTIFACT, "public artifact", {"description": "x"},
     "403 200 200 200 403 403 403 403 403"),
    ("PATCH", ARTIFACT, "private artifact", {"visibility": "public"}, ADMIN_OF_ARTIFACT),
    ("PATCH", ARTIFACT, "private artifact", {"status": "deactivated"}, ADMIN_OF_ARTIFACT),
    ("DELETE", ARTIFACT, "private artifact", None, "403 204 204 204 403 403 404 404 404"),
    ("GET", f"{ARTIFACT}/<path:path>", "private artifact", None, OWN_NAMESPACE),
    ("PUT", f"{ARTIFACT}/<path:path>", "drafted artifact", b"data", OWN_ARTIFACT_200),
    ("DELETE", f"{ARTIFACT}/<path:path>", "drafted artifact", None, OWN_ARTIFACT_200),
    ("GET", "/v2/metadefs/resource_types", "", None, READERS),
    ("GET", "/v2/metadefs/namespaces", "", None, READERS),
    ("POST", "/v2/metadefs/namespaces", "", {"namespace": "new"}, ADMIN_201),
    ("GET", NAMESPACE, "public namespace", None, READERS),
    ("GET", NAMESPACE, "private namespace", None, OWN_NAMESPACE),
    ("PUT", NAMESPACE, "public namespace", {"namespace": "renamed"}, ADMIN_200),
    ("PUT", NAMESPACE, "private namespace", {"namespace": "renamed"},
     "403 403 403 200 403 403 404 404 404"),
    ("DELETE", NAMESPACE, "public namespace", None, ADMIN_204),
    ("DELETE", NAMESPACE, "private namespace", None, ADMIN_OF_PRIVATE_204),
    *(
        row
        for what, body in (
            ("objects", {"name": "new"}), ("properties", DEFINITION), ("tags", {"tags": []}),
            ("resource_types", {"name": "new"}),
        )
        for row in (
            ("GET", f"{NAMESPACE}/{what}", "public namespace", None, READERS),
            ("GET", f"{NAMESPACE}/{what}", "private namespace", None, OWN_NAMESPACE),
            ("POST", f"{NAMESPACE}/{what}", "public namespace", body, ADMIN_201),
            ("DELETE", f"{NAMESPACE}/{what}/<path:name>", "public namespace", None, ADMIN_204),
            ("DELETE", f"{NAMESPACE}/{what}/<path:name>", "private namespace", None,
             ADMIN_OF_PRIVATE_204),
        )
    ),
    *(
        row
        for what, body in (
            ("objects", {}), ("properties", {"title": "T", "type": None}), ("tags", {}),
        )
        for row in (
            ("DELETE", f"{NAMESPACE}/{what}", "public namespace", None, ADMIN_204),
            ("GET", f"{NAMESPACE}/{what}/<path:name>", "public namespace", None, READERS),
            ("GET", f"{NAMESPACE}/{what}/<path:name>", "private namespace", None, OWN_NAMESPACE),
            ("PUT", f"{NAMESPACE}/{what}/<path:name>", "public namespace", body, ADMIN_200),
        )
    ),
    ("POST", f"{NAMESPACE}/tags/<path:name>", "public namespace without", None, ADMIN_201),
    ("GET", "/v2/cache", "", None, ADMIN),
    ("DELETE", "/v2/cache", "", None, ADMIN_204),
    ("PUT", "/v2/cache/<image_id>", "shared", None, "403 403 403 202 403 403 403 403 403"),
    ("DELETE", "/v2/cache/<image_id>", "cached", None, ADMIN_204),
    ("GET", "/v2/cache/nodes/<image_id>", "shared", None, ADMIN),
    ("POST", "/v2/cache/clean", "", None, ADMIN_204),
    ("POST", "/v2/cache/prune", "", None, ADMIN_204),
    ("GET", "/v2/info/stores", "", None, EVERYBODY),
    ("GET", "/v2/info/stores/detail", "", None, ADMIN),
    ("GET", "/v2/info/import", "", None, EVERYBODY),
    ("GET", "/v2/info/usage", "", None, EVERYBODY),
    ("GET", "/v2/images", "", None, READERS),
    ("POST", "/v2/images", "", {}, "403 201 201 201 403 403 201 403 201"),
    ("POST", "/v2/images", "", {"owner": "p7"}, "403 403 403 201 403 403 403 403 403"),
    ("POST", "/v2/images", "", {"visibility": "public"}, "403 403 403 201 403 403 403 403 403"),
    ("POST", "/v2/images", "", {"visibility": "community"}, "403 201 201 201 403 403 201 403 201"),
    ("GET", "/v2/images/<image_id>", "shared", None, SEE_SHARED),
    ("GET", "/v2/images/<image_id>", "private", None, "200 200 200 200 403 403 404 404 404"),
    ("GET", "/v2/images/<image_id>", "community", None, READERS),
    ("GET", "/v2/images/<image_id>", "public", None, READERS),
    ("PATCH", "/v2/images/<image_id>", "shared", {"name": "x"}, OWNER_200),
    ("PATCH", "/v2/images/<image_id>", "private", {"name": "x"},
     "403 200 200 200 403 403 404 404 404"),
    ("PATCH", "/v2/images/<image_id>", "public", {"name": "x"},
     "403 200 200 200 403 403 403 403 403"),
    ("PATCH", "/v2/images/<image_id>", "shared", {"visibility": "community"}, OWNER_200),
    ("PATCH", "/v2/images/<image_id>", "shared", {"visibility": "public"},
     "403 403 403 200 403 403 403 403 404"),
    ("PATCH", "/v2/images/<image_id>", "shared", {"owner": "p7"},
     "403 403 403 200 403 403 403 403 404"),
    ("DELETE", "/v2/images/<image_id>", "shared", None, OWNER_204),
    ("DELETE", "/v2/images/<image_id>", "private", None, "403 204 204 204 403 403 404 404 404"),
    ("DELETE", "/v2/images/<image_id>", "community", None, "403 204 204 204 403 403 403 403 403"),
    ("GET", "/v2/images/<image_id>/file", "shared", None, SEE_SHARED),
    ("GET", "/v2/images/<image_id>/file", "private", None, "200 200 200 200 403 403 404 404 404"),
    ("GET", "/v2/images/<image_id>/file", "deactivated", None,
     "403 403 403 200 403 403 403 403 404"),
    ("GET", "/v2/images/<image_id>/introspection", "shared", None, SEE_SHARED),
    ("GET", "/v2/images/<image_id>/introspection", "private", None,
     "200 200 200 200 403 403 404 404 404"),
    ("PUT", "/v2/images/<image_id>/file", "queued", b"data", OWNER_204),
    ("GET", "/v2/images/<image_id>/locations", "shared", None,
     "403 403 403 200 200 403 403 403 404"),
    ("POST", "/v2/images/<image_id>/locations", "queued", {"url": "http://web.test/x"},
     "403 400 400 400 400 403 403 403 404"),
    ("DELETE", "/v2/stores/<store>/<image_id>", "copied", None,
     "403 403 403 204 403 403 403 403 404"),
    ("POST", "/v2/images/<image_id>/uploads", "queued", None,
     "403 201 201 201 403 403 403 403 404"),
    ("PATCH", "/v2/images/<image_id>/uploads/<upload_id>", "uploading", b"data",
     "403 204 204 204 403 403 403 403 404"),
    ("DELETE", "/v2/images/<image_id>/uploads/<upload_id>", "uploading", None,
     "403 204 204 204 403 403 403 403 404"),
    ("PUT", "/v2/images/<image_id>/tags/<path:tag>", "shared", None, OWNER_204),
    ("DELETE", "/v2/images/<image_id>/tags/<path:tag>", "shared", None, OWNER_204),
    ("POST", "/v2/images/<image_id>/actions/deactivate", "shared", None, OWNER_204),
    ("POST", "/v2/images/<image_id>/actions/reactivate", "deactivated", None, OWNER_204),
    ("POST", "/v2/images/<image_id>/actions/convert", "shared",
     {"disk_format": "qcow2", "in_place": True}, "403 202 202 202 403 403 403 403 404"),
    ("POST", "/v2/images/<image_id>/actions/convert", "shared", {"disk_format": "qcow2"},
     "403 202 202 202 403 403 202 403 404"),
    ("PUT", "/v2/images/<image_id>/stage", "queued", b"data", OWNER_204),
    ("POST", "/v2/images/<image_id>/import", "staged", {"method": {"name": "glance-direct"}},
     "403 202 202 202 403 403 403 403 404"),
    ("POST", "/v2/images/<image_id>/import", "shared", COPY,
     "403 403 403 202 403 403 403 403 404"),
    ("GET", "/v2/images/<image_id>/tasks", "importing", None,
     "200 200 200 200 403 403 403 403 404"),
    ("POST", "/v2/images/<image_id>/tasks/<task_id>/actions/cancel", "importing", None,
     "403 202 202 202 403 403 403 403 404"),
    ("POST", "/v2/images/<image_id>/tasks/<task_id>/actions/retry", "failed", None,
     "403 202 202 202 403 403 403 403 404"),
    ("GET", "/v2/tasks", "", None, ADMIN),
    ("POST", "/v2/tasks", "", TASK, "403 403 403 201 403 403 403 403 403"),
    ("GET", "/v2/tasks/<task_id>", "importing", None, ADMIN),
    ("DELETE", "/v2/tasks/<task_id>", "failed", None,
     "403 403 403 204 403 403 403 403 403"),
    ("GET", "/v2/images/<image_id>/members", "shared", None, SEE_SHARED),
    ("POST", "/v2/images/<image_id>/members", "shared", {"member": "p5"}, OWNER_200),
    ("GET", "/v2/images/<image_id>/members/<project_id>", "shared", None, SEE_SHARED),
    ("PUT", "/v2/images/<image_id>/members/<project_id>", "shared", {"status": "accepted"},
     "403 403 403 200 403 403 200 403 404"),
    ("DELETE", "/v2/images/<image_id>/members/<project_id>", "shared", None, OWNER_204),
)  # fmt: skip


def make(catalog: Catalog, kind: str) -> str:
    """An image of p1 as the table names it."""
    owner = catalog.as_("p1", "admin,member")
    visibility = kind if kind in ("private", "public", "community") else "shared"
    wanted: dict[str, Any] = {"visibility": visibility, "tags": ["t"]}
    empty = kind in ("queued", "uploading", "staged", "importing", "failed")
    image_id = owner.create_raw(**wanted) if empty else owner.create_active(**wanted)
    path = f"/v2/images/{image_id}"
    if visibility == "shared":
        for project in ("p2", "p4"):
            owner.request("POST", f"{path}/members", json={"member": project})
    if kind == "deactivated":
        owner.request("POST", f"{path}/actions/deactivate")
    if kind == "cached":
        owner.request("PUT", f"/v2/cache/{image_id}")
    if kind in ("staged", "importing", "failed"):
        owner.request("PUT", f"{path}/stage", data=b"data", content_type=DATA)
    if kind in ("importing", "failed"):
        owner.request("POST", f"{path}/import", json={"method": {"name": "glance-direct"}})
    if kind == "uploading":
        owner.request("POST", f"{path}/uploads", headers=TUS)
    if kind == "copied":
        owner.request("POST", f"{path}/import", json=COPY)
        assert catalog.work() == 1
    if kind == "failed":
        owner.request("POST", f"{path}/tasks/{task_of(owner, image_id)}/actions/cancel")
    return image_id


def make_namespace(catalog: Catalog, kind: str) -> str:
    """A namespace of p1 with one thing of each kind in it, called t, or without any."""
    visibility, _, without = kind.partition(" namespace")
    body: dict[str, Any] = {"namespace": "N", "owner": "p1", "visibility": visibility}
    if not without:
        body |= {
            "objects": [{"name": "t"}],
            "properties": {"t": {"title": "T", "type": "string"}},
            "tags": [{"name": "t"}],
            "resource_type_associations": [{"name": "t"}],
        }
    admin = catalog.as_("p1", "admin")
    for name in ("N", "new", "renamed"):
        admin.request("DELETE", f"/v2/metadefs/namespaces/{name}")
    assert admin.request("POST", "/v2/metadefs/namespaces", json=body).status_code == 201
    return "N"


def make_artifact(catalog: Catalog, kind: str) -> str:
    """The only artifact there is: of p1, with bytes here and elsewhere."""
    owner = catalog.as_("p1", "admin,member")
    for each in owner.request("GET", "/artifacts/all").get_json()["artifacts"]:
        owner.request("DELETE", f"/artifacts/all/{each['id']}")
    answer = owner.request("POST", "/artifacts/generic", json={"name": "a"})
    path = f"/artifacts/generic/{answer.get_json()['id']}"
    owner.request("PUT", f"{path}/content", data=b"data", content_type=DATA)
    away = {"url": "https://example.org/x", "md5": "0" * 32}
    owner.request("PUT", f"{path}/files/away", json=away, content_type=ELSEWHERE)
    if not kind.startswith("drafted"):
        send(owner, "PATCH", path, {"status": "active"})
    if kind.startswith("public"):
        send(owner, "PATCH", path, {"visibility": "public"})
    return path.rpartition("/")[2]


def upload_of(catalog: Catalog, image_id: str) -> str:
    """The upload that is under way: the name of the store's unfinished file."""
    del image_id
    names = [path.name for path in (catalog.folder / "images" / "uploads").iterdir()]
    return max(names, key=lambda each: (catalog.folder / "images/uploads" / each).stat().st_ctime)


def task_of(owner: Catalog, image_id: str) -> str:
    """The task of an image, if it has one."""
    answer = owner.request("GET", f"/v2/images/{image_id}/tasks")
    tasks = answer.get_json()["tasks"] if answer.status_code == 200 else []
    return str(tasks[-1]["id"]) if tasks else ""


def send(caller: Catalog, method: str, path: str, body: Any) -> int:
    rest: dict[str, Any] = {}
    if "/uploads" in path:
        kind = "application/offset+octet-stream"
        rest = {"headers": TUS, "data": body, "content_type": kind if body else None}
    elif isinstance(body, bytes):
        rest = {"data": body, "content_type": DATA}
    elif method == "PATCH":
        steps = [
            {"op": "replace", "path": f"/{name}", "value": value} for name, value in body.items()
        ]
        media_type = "application/json-patch+json" if "/artifacts/" in path else V21
        rest = {"json": steps, "content_type": media_type}
    elif body is not None:
        rest = {"json": body}
    return caller.request(method, path, **rest).status_code


@pytest.mark.parametrize(
    ("method", "path", "kind", "body", "expected"),
    TABLE,
    ids=[f"{row[0]} {row[1]} {row[2]} {row[3] or ''}".replace(":", "=") for row in TABLE],
)
def test_a_route_answers_each_caller_as_the_table_says(
    catalog: Catalog, method: str, path: str, kind: str, body: Any, expected: str
) -> None:
    answers = []
    for project, role in CALLERS:
        schema = "tag" if "metadefs" in path else "image"
        schema = "generic" if path.startswith("/schemas") else schema
        names = {"<name>": schema, "<path:tag>": "t", "<project_id>": "p2", "<path:name>": "t"}
        names |= {"<store>": "second", "<type_name>": "generic"}
        names["<path:path>"] = BYTES.get(method, "")
        if "namespace" in kind or path == "/v2/metadefs/namespaces":
            names["<namespace>"] = make_namespace(catalog, kind or "public namespace")
        elif "artifact" in kind:
            names["<artifact_id>"] = make_artifact(catalog, kind)
        elif kind:
            names["<image_id>"] = make(catalog, kind)
        if "<upload_id>" in path:
            names["<upload_id>"] = upload_of(catalog, names["<image_id>"])
        if "<task_id>" in path:
            owner = catalog.as_("p1", "admin,member")
            names["<task_id>"] = task_of(owner, names.get("<image_id>", ""))
        asked = path
        for name, value in names.items():
            asked = asked.replace(name, value)
        answers.append(send(catalog.as_(project, role), method, asked, body))
    assert dict(zip(CALLERS, answers, strict=True)) == dict(
        zip(CALLERS, map(int, expected.split()), strict=True)
    )


def test_the_table_has_every_route(catalog: Catalog) -> None:
    # The gateway hides the application it serves; the routes are known to nobody else.
    flask = catalog.api.app._app.__self__
    served = {
        (method, rule.rule)
        for rule in flask.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert {(row[0], row[1]) for row in TABLE} == served


def test_an_answer_to_a_stranger_does_not_tell_whether_an_image_exists(catalog: Catalog) -> None:
    image_id = make(catalog, "private")
    other = "00000000-0000-4000-8000-000000000000"
    stranger = catalog.as_("p3")
    for method, rest in (("GET", ""), ("DELETE", ""), ("GET", "/file"), ("GET", "/members")):
        hidden = stranger.request(method, f"/v2/images/{image_id}{rest}")
        missing = stranger.request(method, f"/v2/images/{other}{rest}")
        assert hidden.status_code == missing.status_code == 404
        assert hidden.text.replace(image_id, other) == missing.text
