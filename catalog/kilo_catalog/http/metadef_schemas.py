"""JSON schemas of metadata definitions. glanceclient builds its command line from them."""

from typing import Any

from kilo_catalog.domain.metadef import MetadefVisibility
from kilo_catalog.domain.metadef_bodies import (
    DESCRIPTION_LENGTH,
    NAME_LENGTH,
    OWNER_LENGTH,
    TYPES,
)

Schema = dict[str, Any]
_TEXTS: Schema = {"type": "array", "items": {"type": "string"}}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TYPE: Schema = {"type": ["string", "null"], "enum": list(TYPES)}
_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": NAME_LENGTH}


def metadef_schemas() -> dict[str, Schema]:
    """All of them, by the last part of their path."""
    singles = {
        "namespace": _namespace(),
        "object": _object(),
        "property": _property(),
        "tag": _one("tag", {"name": _NAME, **_times("tag")}, ["name"]),
        "resource_type": _resource_type(),
    }
    plurals = {
        "namespaces": _many("namespaces", "namespaces", singles["namespace"]),
        "objects": _many("objects", "objects", singles["object"]),
        "properties": _properties(singles["property"]),
        "tags": _many("tags", "tags", singles["tag"]),
        "resource_types": _many(
            "resource_type_associations", "resource_type_associations", singles["resource_type"]
        ),
    }
    return singles | plurals


def definition() -> Schema:
    """What a property may hold: one level of JSON Schema."""
    return {
        "type": "object",
        "required": ["title", "type"],
        "additionalProperties": False,
        "properties": {
            "name": _NAME,
            "title": {"type": "string", "description": "What people read."},
            "description": {"type": "string", "description": "What it is for."},
            "type": _TYPE,
            "required": _TEXTS,
            "operators": {**_TEXTS, "description": "How a query may compare it."},
            "minimum": {"type": "number"},
            "maximum": {"type": "number"},
            "minLength": _COUNT,
            "maxLength": _COUNT,
            "pattern": {"type": "string"},
            "enum": {"type": "array"},
            "readonly": {"type": "boolean"},
            "default": {},
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"type": _TYPE, "enum": {"type": "array"}},
            },
            "minItems": _COUNT,
            "maxItems": _COUNT,
            "uniqueItems": {"type": "boolean"},
            "additionalItems": {"type": "boolean"},
        },
    }


def _namespace() -> Schema:
    properties: Schema = {
        "namespace": {**_NAME, "description": "The unique name of the namespace."},
        "display_name": _text("The name that people read.", NAME_LENGTH),
        "description": _text("What the namespace is about.", DESCRIPTION_LENGTH),
        "visibility": {
            "type": "string",
            "description": "Who may see it: everybody, or its owner's project.",
            "enum": [each.value for each in MetadefVisibility],
        },
        "protected": {
            "type": "boolean",
            "description": "If true, neither it nor anything in it can be deleted.",
        },
        "owner": _text("The project it belongs to.", OWNER_LENGTH),
        "resource_type_associations": {"type": "array", "items": _plain(_resource_type())},
        "properties": _named(),
        "objects": {"type": "array", "items": _plain(_object())},
        "tags": {
            "type": "array",
            "items": {"type": "object", "properties": {"name": _NAME}, "required": ["name"]},
        },
        **_paths(),
        **_times("namespace"),
    }
    return _one("namespace", properties, ["namespace"])


def _object() -> Schema:
    properties: Schema = {
        "name": _NAME,
        "description": {"type": "string", "description": "What it stands for."},
        "required": {**_TEXTS, "description": "The properties it must have."},
        "properties": _named(),
        **_paths(),
        **_times("object"),
    }
    return _one("object", properties, ["name"])


def _property() -> Schema:
    found = definition()
    return _one("property", found["properties"], ["name", "title", "type"])


def _resource_type() -> Schema:
    properties: Schema = {
        "name": {**_NAME, "description": "A type of resources, as Heat names them."},
        "prefix": _text("What stands before each property's name there.", NAME_LENGTH),
        "properties_target": _text(
            "Which of several sets of properties there is meant.", NAME_LENGTH
        ),
        **_times("association"),
    }
    return _one("resource_type_association", properties, ["name"])


def _properties(single: Schema) -> Schema:
    return {
        "name": "properties",
        "properties": {"properties": {"type": "object", "additionalProperties": _plain(single)}},
        "links": [],
    }


def _one(name: str, properties: Schema, required: list[str]) -> Schema:
    return {
        "name": name,
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _many(name: str, field: str, single: Schema) -> Schema:
    return {
        "name": name,
        "properties": {
            field: {"type": "array", "items": single},
            "first": {"type": "string"},
            "next": {"type": "string"},
            "schema": {"type": "string"},
        },
        "links": [
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }


def _plain(single: Schema) -> Schema:
    """A schema within another: as an object, without a name of its own."""
    return {"type": "object", **{key: each for key, each in single.items() if key != "name"}}


def _named() -> Schema:
    return {"type": "object", "additionalProperties": definition()}


def _text(description: str, length: int) -> Schema:
    return {"type": "string", "description": description, "maxLength": length}


def _paths() -> Schema:
    return {name: {"type": "string", "readOnly": True} for name in ("self", "schema")}


def _times(what: str) -> Schema:
    return {
        name: {
            "type": "string",
            "format": "date-time",
            "readOnly": True,
            "description": f"When the {what} was {done}.",
        }
        for name, done in (("created_at", "made"), ("updated_at", "last changed"))
    }
