"""The schemas that the OpenAPI document refers to, made of those that clients are shown."""

from typing import Any

from kilo_catalog.domain.import_request import ADMIN_TASK, INTERFACES, ImportMethod
from kilo_catalog.domain.limits import Limits
from kilo_catalog.domain.member import PROJECT_LENGTH, MemberStatus
from kilo_catalog.http.metadef_schemas import metadef_schemas
from kilo_catalog.http.schemas import (
    image_schema,
    images_schema,
    member_schema,
    members_schema,
)
from kilo_catalog.http.task_schemas import task_schema, tasks_schema

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string"}
_SHOWN_ONLY = ("name", "links")
"""What clients are told about a schema that is no part of JSON Schema."""


def components(limits: Limits) -> dict[str, Schema]:
    """All of them, by name. Metadata definitions are `metadef_…`."""
    image, member, task = image_schema(limits), member_schema(), task_schema()
    shown = {
        "image": image,
        "images": images_schema(image),
        "member": member,
        "members": members_schema(member),
        "task": task,
        "tasks": tasks_schema(task),
        **{f"metadef_{name}": schema for name, schema in metadef_schemas().items()},
    }
    return {
        "any": {},
        "data": {},
        "object": {"type": "object"},
        "error": _error(),
        "new_image": _without_read_only(_bare(image)),
        "patch": _patch(),
        "new_member": _object({"member": {**_TEXT, "maxLength": PROJECT_LENGTH}}),
        "member_status": _object({"status": _one_of(each.value for each in MemberStatus)}),
        "import": _import(),
        "new_task": _new_task(),
        **{name: _bare(schema) for name, schema in shown.items()},
    }


def _bare(schema: Any) -> Any:
    """A schema as a client is shown it, without what JSON Schema does not know."""
    if isinstance(schema, list):
        return [_bare(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(schema.get("properties"), dict) and "links" in schema:
        schema = {key: each for key, each in schema.items() if key not in _SHOWN_ONLY}
        schema["type"] = "object"
    return {key: _bare(each) for key, each in schema.items()}


def _without_read_only(schema: Schema) -> Schema:
    properties = {
        name: each for name, each in schema["properties"].items() if not each.get("readOnly")
    }
    return {**schema, "properties": properties}


def _object(properties: Schema, *, required: bool = True) -> Schema:
    found: Schema = {"type": "object", "properties": properties}
    return found | ({"required": sorted(properties)} if required else {})


def _one_of(values: Any) -> Schema:
    return {"type": "string", "enum": sorted(values)}


def _error() -> Schema:
    body = {
        "code": {**_TEXT, "description": "What went wrong, for programs: dotted, and it stays."},
        "status": {"type": "integer"},
        "title": _TEXT,
        "message": {**_TEXT, "description": "What went wrong, for people."},
    }
    return _object({"error": _object(body)})


def _patch() -> Schema:
    operation = {
        "op": _one_of(("add", "replace", "remove", "move", "copy", "test")),
        "path": {**_TEXT, "pattern": "^/"},
        "value": {},
        "from": {**_TEXT, "pattern": "^/"},
    }
    return {
        "type": "array",
        "items": {**_object(operation, required=False), "required": ["op", "path"]},
    }


def _import() -> Schema:
    method = {
        "name": _one_of(each.value for each in ImportMethod),
        "uri": _TEXT,
        "glance_region": _TEXT,
        "glance_image_id": _TEXT,
        "glance_service_interface": _one_of(INTERFACES),
    }
    body = {
        "method": {**_object(method, required=False), "required": ["name"]},
        "stores": {"type": "array", "items": _TEXT},
        "all_stores": {"type": "boolean"},
        "all_stores_must_succeed": {"type": "boolean"},
        "convert_to": _TEXT,
    }
    return {**_object(body, required=False), "required": ["method"]}


def _new_task() -> Schema:
    given = {
        "import_from": _TEXT,
        "import_from_format": _TEXT,
        "image_properties": {"type": "object"},
    }
    return _object({"type": _one_of((ADMIN_TASK,)), "input": _object(given, required=False)})
