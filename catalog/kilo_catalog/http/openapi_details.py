"""What the routes themselves do not say: summaries, bodies, query parameters, answers."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from kilo_catalog.domain import json_patch, patch
from kilo_catalog.domain.image import Visibility
from kilo_catalog.domain.listing import SORT_KEYS
from kilo_catalog.domain.member import MemberStatus

_JSON = "application/json"
_DATA = "application/octet-stream"
_TEXT: dict[str, Any] = {"type": "string"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_WHETHER: dict[str, Any] = {"type": "string", "enum": ["true", "false"]}


class Body(Struct, frozen=True):
    """What a request brings."""

    schema: str
    types: tuple[str, ...] = (_JSON,)
    required: bool = True


class Details(Struct, frozen=True):
    """What the document says about one route."""

    summary: str
    status: int = 200
    answer: str = ""
    """The schema of the answer's body; empty: it has none, or nothing is said about it."""
    body: Body | None = Body("any", required=False)
    query: tuple[str, ...] = ()
    """Names in `PARAMETERS`."""
    answer_type: str = _JSON
    said: str = "It was done."


def _choice(values: Any) -> dict[str, Any]:
    return {"type": "string", "enum": [*values]}


PARAMETERS: Mapping[str, dict[str, Any]] = {
    "limit": _COUNT,
    "marker": _TEXT,
    "sort": {**_TEXT, "description": "KEY[:asc|desc], by commas"},
    "sort_key": _choice(SORT_KEYS),
    "sort_dir": _choice(("asc", "desc")),
    "visibility": _choice((*(each.value for each in Visibility), "all")),
    "member_status": _choice((*(each.value for each in MemberStatus), "all")),
    "os_hidden": _WHETHER,
    "protected": _WHETHER,
    "tag": _TEXT,
    "created_at": {**_TEXT, "description": "[gt|gte|lt|lte|eq|neq:]TIME"},
    "updated_at": {**_TEXT, "description": "[gt|gte|lt|lte|eq|neq:]TIME"},
    **{
        name: {**_TEXT, "description": "A value, or in:VALUE,VALUE"}
        for name in ("name", "id", "status", "disk_format", "container_format")
    },
    **dict.fromkeys(("owner", "checksum", "os_hash_algo", "os_hash_value"), _TEXT),
    **{
        f"{name}{bound}": _COUNT
        for name in ("size", "virtual_size", "min_disk", "min_ram")
        for bound in ("", "_min", "_max")
    },
    "type": _TEXT,
    "resource_types": _TEXT,
    "resource_type": _TEXT,
    "usage": _WHETHER,
    "prefer": {**_TEXT, "description": "Stores to read from if they can be, by commas"},
}
_PAGE = ("limit", "marker")
_FILTERS = tuple(
    name
    for name in PARAMETERS
    if name not in ("type", "resource_types", "resource_type", "usage", "prefer", *_PAGE)
)
_PATCH = Body("patch", (*patch.MEDIA_TYPES, json_patch.MEDIA_TYPE))
_UPLOAD = Body("data", (_DATA,))
_PART = Body("data", ("application/offset+octet-stream",), required=False)
_IMAGE = "/v2/images/<image_id>"
_MEMBER = f"{_IMAGE}/members/<project_id>"
_SPACES = "/v2/metadefs/namespaces"
_SPACE = f"{_SPACES}/<namespace>"


def _nothing(summary: str, status: int = 204, body: Body | None = None) -> Details:
    return Details(summary, status, body=body)


def _items(plural: str, single: str) -> dict[tuple[str, str], Details]:
    """The routes of one kind of things in a namespace."""
    one = f"metadef_{single}"
    path, named = f"{_SPACE}/{plural}", f"{_SPACE}/{plural}/<path:name>"
    return {
        ("GET", path): Details(f"List the {plural} of a namespace.", answer=f"metadef_{plural}"),
        ("POST", path): Details(f"Add to the {plural} of a namespace.", 201, body=Body("object")),
        ("DELETE", path): _nothing(f"Remove all {plural} of a namespace."),
        ("GET", named): Details(f"Show one of the {plural}.", answer=one, query=("resource_type",)),
        ("PUT", named): Details(f"Change one of the {plural}.", answer=one, body=Body(one)),
        ("DELETE", named): _nothing(f"Remove one of the {plural}."),
    }


DETAILS: Mapping[tuple[str, str], Details] = {
    ("GET", "/"): Details("Which versions there are.", 300, "object"),
    ("GET", "/versions"): Details("Which versions there are.", answer="object"),
    ("GET", "/v2/openapi.json"): Details("This document.", answer="object"),
    ("GET", "/v2/images"): Details(
        "List images, newest first; any other parameter is a property to filter by.",
        answer="images",
        query=(*_PAGE, *_FILTERS),
    ),
    ("POST", "/v2/images"): Details("Make a record without data.", 201, "image", Body("new_image")),
    ("GET", _IMAGE): Details("Show an image.", answer="image"),
    ("PATCH", _IMAGE): Details(
        "Change an image; If-Match names the version meant.", answer="image", body=_PATCH
    ),
    ("DELETE", _IMAGE): _nothing("Delete an image and its data."),
    ("GET", f"{_IMAGE}/file"): Details(
        "Download; 206 for a range, 204 without data.",
        answer="data",
        answer_type=_DATA,
        query=("prefer",),
    ),
    ("PUT", f"{_IMAGE}/file"): _nothing("Upload.", body=_UPLOAD),
    ("PUT", f"{_IMAGE}/stage"): _nothing("Stage data for an import.", body=_UPLOAD),
    ("POST", f"{_IMAGE}/import"): _nothing("Import data.", 202, Body("import")),
    ("GET", f"{_IMAGE}/introspection"): Details("What its data is.", answer="object"),
    ("POST", f"{_IMAGE}/actions/deactivate"): _nothing("Keep its data from all but operators."),
    ("POST", f"{_IMAGE}/actions/reactivate"): _nothing("Undo that."),
    ("POST", f"{_IMAGE}/uploads"): _nothing("Begin a resumable upload (tus 1.0).", 201, _PART),
    ("PATCH", f"{_IMAGE}/uploads/<upload_id>"): _nothing("Go on with it.", body=_PART),
    ("DELETE", f"{_IMAGE}/uploads/<upload_id>"): _nothing("End it without effect."),
    ("GET", f"{_IMAGE}/locations"): Details("Where its data is.", answer="any"),
    ("POST", f"{_IMAGE}/locations"): _nothing("Take data where it is.", 202, Body("object")),
    ("PUT", f"{_IMAGE}/tags/<path:tag>"): _nothing("Add a tag."),
    ("DELETE", f"{_IMAGE}/tags/<path:tag>"): _nothing("Remove a tag."),
    ("GET", f"{_IMAGE}/members"): Details("With whom it is shared.", answer="members"),
    ("POST", f"{_IMAGE}/members"): Details(
        "Share it with a project.", answer="member", body=Body("new_member")
    ),
    ("GET", _MEMBER): Details("Show a member.", answer="member"),
    ("PUT", _MEMBER): Details(
        "Accept or reject it, as the member.", answer="member", body=Body("member_status")
    ),
    ("DELETE", _MEMBER): _nothing("Share it no more."),
    ("GET", f"{_IMAGE}/tasks"): Details("The tasks of an image.", answer="object"),
    ("POST", f"{_IMAGE}/tasks/<task_id>/actions/cancel"): Details("End a task.", 202, "task", None),
    ("POST", f"{_IMAGE}/tasks/<task_id>/actions/retry"): Details(
        "Try a task again.", 202, "task", None
    ),
    ("GET", "/v2/tasks"): Details(
        "List tasks.", answer="tasks", query=(*_PAGE, "type", "status", "sort_key", "sort_dir")
    ),
    ("POST", "/v2/tasks"): Details("Make a task.", 201, "task", Body("new_task")),
    ("GET", "/v2/tasks/<task_id>"): Details("Show a task.", answer="task"),
    ("DELETE", "/v2/tasks/<task_id>"): _nothing("Forget a task that has ended."),
    ("GET", "/v2/cache"): Details("What this node has cached, and what waits.", answer="object"),
    ("DELETE", "/v2/cache"): _nothing("Empty this node's cache, its queue, or both."),
    ("PUT", "/v2/cache/<image_id>"): _nothing("Have an image cached.", 202),
    ("DELETE", "/v2/cache/<image_id>"): _nothing("Take an image out of cache and queue."),
    ("GET", "/v2/cache/nodes/<image_id>"): Details("The URLs of nodes that have it.", answer="any"),
    ("POST", "/v2/cache/clean"): _nothing("Remove from the cache what is of no use."),
    ("POST", "/v2/cache/prune"): _nothing("Remove from the cache what is too much."),
    ("DELETE", "/v2/stores/<store>/<image_id>"): _nothing("Remove one copy of an image's data."),
    ("GET", "/v2/info/stores"): Details("The stores.", answer="object"),
    ("GET", "/v2/info/stores/detail"): Details(
        "The stores and their drivers.", answer="object", query=("usage",)
    ),
    ("GET", "/v2/info/import"): Details("The import methods.", answer="object"),
    ("GET", "/v2/info/usage"): Details("The project's quotas and use.", answer="object"),
    ("GET", "/v2/schemas/<name>"): Details("A JSON schema.", answer="object"),
    ("GET", "/v2/schemas/metadefs/<name>"): Details("A JSON schema.", answer="object"),
    ("GET", "/v2/metadefs/resource_types"): Details("All resource types.", answer="object"),
    ("GET", _SPACES): Details(
        "List namespaces.",
        answer="metadef_namespaces",
        query=(*_PAGE, "sort_key", "sort_dir", "visibility", "resource_types"),
    ),
    ("POST", _SPACES): Details(
        "Make a namespace.", 201, "metadef_namespace", Body("metadef_namespace")
    ),
    ("GET", _SPACE): Details(
        "Show a namespace.", answer="metadef_namespace", query=("resource_type",)
    ),
    ("PUT", _SPACE): Details(
        "Change a namespace.", answer="metadef_namespace", body=Body("metadef_namespace")
    ),
    ("DELETE", _SPACE): _nothing("Delete a namespace and what is in it."),
    **_items("objects", "object"),
    **_items("properties", "property"),
    **_items("tags", "tag"),
    ("GET", f"{_SPACE}/resource_types"): Details("Where it belongs.", answer="object"),
    ("POST", f"{_SPACE}/resource_types"): Details(
        "Have it belong to a resource type.",
        201,
        "metadef_resource_type",
        Body("metadef_resource_type"),
    ),
    ("DELETE", f"{_SPACE}/resource_types/<path:name>"): _nothing("Have it belong there no more."),
}
