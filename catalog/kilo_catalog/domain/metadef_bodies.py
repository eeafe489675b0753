"""Reads the bodies of requests about metadata definitions, and the files they are loaded from."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from kilo_catalog.domain.metadef import (
    Association,
    I,
    MetadefObject,
    MetadefProperty,
    MetadefTag,
    MetadefVisibility,
    Schema,
)
from kilo_catalog.errors import AttributeForbidden, MetadefExists, MetadefInvalid

NAME_LENGTH = 80
DESCRIPTION_LENGTH = 500
OBJECT_DESCRIPTION_LENGTH = 16384
OWNER_LENGTH = 255
TYPES = ("array", "boolean", "integer", "number", "object", "string", None)
READ_ONLY = frozenset({"self", "schema", "created_at", "updated_at"})
_DEPTH = 16
_TEXTS = frozenset({"name", "title", "description"})
_NUMBERS = frozenset({"minimum", "maximum"})
_COUNTS = frozenset({"minLength", "maxLength", "minItems", "maxItems"})
_FLAGS = frozenset({"readonly", "uniqueItems", "additionalItems"})
_NAME_LISTS = frozenset({"operators", "required"})

Body = Mapping[str, Any]


def read_only(body: object) -> None:
    """Refuse a body that sets what clients do not set.

    Raises:
        AttributeForbidden: it does.
    """
    if isinstance(body, dict):
        for name in sorted(READ_ONLY & body.keys()):
            raise AttributeForbidden(f"Attribute '{name}' is read-only.", attribute=name)


def parse_namespace(body: object) -> dict[str, Any]:
    """The attributes of a namespace itself, by the names that `Namespace` has for them; what is
    in it is left to `parse_contents`.

    Raises:
        MetadefInvalid: the body is malformed.
    """
    body = _object(body, "A namespace")
    _known(
        body,
        "a namespace",
        {
            "namespace", "display_name", "description", "visibility", "protected", "owner",
            "resource_type_associations", "properties", "objects", "tags", *READ_ONLY,
        },
    )  # fmt: skip
    values: dict[str, Any] = {"name": _name(body, "namespace")}
    if "/" in values["name"]:
        raise MetadefInvalid("A namespace's name must not hold a slash")
    values["display_name"] = _text(body, "display_name", NAME_LENGTH)
    values["description"] = _text(body, "description", DESCRIPTION_LENGTH)
    values["visibility"] = _visibility(body.get("visibility"))
    values["protected"] = _flag(body, "protected")
    owner = _text(body, "owner", OWNER_LENGTH)
    if owner:
        values["owner"] = owner
    return values


def parse_contents(body: Body, now: datetime) -> dict[str, Any]:
    """What is in a new namespace, by the names that `Namespace` has for it.

    Raises:
        MetadefInvalid: a part of it is malformed.
        MetadefExists: two things of a kind have one name.
    """
    properties = body.get("properties")
    named: dict[str, Any] = {} if properties is None else _object(properties, "'properties'")
    return {
        "associations": _each(body, "resource_type_associations", parse_association, now),
        "objects": _each(body, "objects", parse_object, now),
        "properties": tuple(
            MetadefProperty(
                name=_checked_name(name, "property"),
                schema=_schema(name, schema),
                created_at=now,
                updated_at=now,
            )
            for name, schema in named.items()
        ),
        "tags": _each(body, "tags", parse_tag, now),
    }


def parse_association(body: object, now: datetime) -> Association:
    """A type of resources that a namespace is for. Raises as `parse_namespace`."""
    body = _object(body, "A resource type association")
    _known(body, "an association", {"name", "prefix", "properties_target", *READ_ONLY})
    return Association(
        name=_name(body, "name"),
        prefix=_text(body, "prefix", NAME_LENGTH),
        properties_target=_text(body, "properties_target", NAME_LENGTH),
        created_at=now,
        updated_at=now,
    )


def parse_object(body: object, now: datetime, name: str | None = None) -> MetadefObject:
    """An object; `name` is its name if the body has none. Raises as `parse_namespace`."""
    body = _object(body, "An object")
    _known(body, "an object", {"name", "description", "required", "properties", *READ_ONLY})
    properties = body.get("properties")
    named: dict[str, Any] = {} if properties is None else _object(properties, "'properties'")
    return MetadefObject(
        name=_name(body, "name", name),
        description=_text(body, "description", OBJECT_DESCRIPTION_LENGTH),
        required=_texts(body, "required"),
        properties={
            _checked_name(each, "property"): _schema(each, schema) for each, schema in named.items()
        },
        created_at=now,
        updated_at=now,
    )


def parse_property(body: object, now: datetime, name: str | None = None) -> MetadefProperty:
    """A property; `name` is its name if the body has none. Raises as `parse_namespace`."""
    body = _object(body, "A property")
    found = _name(body, "name", name)
    schema = {key: value for key, value in body.items() if key != "name"}
    return MetadefProperty(
        name=found, schema=_schema(found, schema), created_at=now, updated_at=now
    )


def parse_tag(body: object, now: datetime, name: str | None = None) -> MetadefTag:
    """A tag; `name` is its name if the body has none. Raises as `parse_namespace`."""
    body = _object(body, "A tag")
    _known(body, "a tag", {"name", *READ_ONLY})
    return MetadefTag(name=_name(body, "name", name), created_at=now, updated_at=now)


def parse_tags(body: object, now: datetime) -> tuple[MetadefTag, ...]:
    """Several tags: `{"tags": [{"name": …}, …]}`. Raises as `parse_contents`."""
    body = _object(body, "A list of tags")
    _known(body, "a list of tags", {"tags"})
    if "tags" not in body:
        raise MetadefInvalid('Tags are sent like this: {"tags": [{"name": "…"}]}')
    return _each(body, "tags", parse_tag, now)


def _each(
    body: Body, key: str, parse: Callable[[object, datetime], I], now: datetime
) -> tuple[I, ...]:
    items = body.get(key)
    if items is None:
        return ()
    if not isinstance(items, list):
        raise MetadefInvalid(f"'{key}' must be a list", attribute=key)
    found: dict[str, I] = {}
    for item in items:
        one = parse(item, now)
        if one.name in found:
            raise MetadefExists(key, one.name)
        found[one.name] = one
    return tuple(found.values())


def _schema(name: str, value: object) -> Schema:
    """A property's definition: a JSON schema of one level, in the words that the API knows."""
    schema = _object(value, f"The definition of property {name[:NAME_LENGTH]!r}")
    where = f"property {name[:NAME_LENGTH]!r}"
    for missing in ("title", "type"):
        if missing not in schema:
            raise MetadefInvalid(f"The definition of {where} lacks a {missing}", attribute=missing)
    _deep_enough(schema, where)
    for key, found in schema.items():
        if key not in _SCHEMA_KEYS:
            allowed = ", ".join(sorted(_SCHEMA_KEYS))
            raise MetadefInvalid(
                f"{where}: there is no {key[:64]!r} in a definition; allowed: {allowed}",
                attribute=key[:64],
            )
        if key != "default" and not _fits(key, found):
            raise MetadefInvalid(f"{where}: {key!r} has a value it may not have", attribute=key)
    return schema


_SCHEMA_KEYS = (
    _TEXTS
    | _NUMBERS
    | _COUNTS
    | _FLAGS
    | _NAME_LISTS
    | {"type", "pattern", "enum", "default", "items"}
)


def _fits(key: str, value: object) -> bool:
    """Whether a word of a definition may have the value."""
    if key in _TEXTS or key == "pattern":
        return isinstance(value, str)
    if key in _FLAGS:
        return isinstance(value, bool)
    if key in _NUMBERS:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if key in _COUNTS:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if key in _NAME_LISTS:
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    if key == "enum":
        return isinstance(value, list)
    if key == "type":
        return value is None or (isinstance(value, str) and value in TYPES)
    return _fits_items(value)


def _fits_items(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() <= {"type", "enum"}
        and all(_fits(key, each) for key, each in value.items())
    )


def _deep_enough(value: object, where: str) -> None:
    """Refuse what is nested so deeply that writing it again could fail."""
    level: list[object] = [value]
    for _ in range(_DEPTH):
        inside: list[object] = []
        for each in level:
            if isinstance(each, dict):
                inside += each.values()
            elif isinstance(each, list):
                inside += each
        level = [each for each in inside if isinstance(each, dict | list)]
        if not level:
            return
    raise MetadefInvalid(f"The definition of {where} is nested too deeply")


def _object(body: object, what: str) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise MetadefInvalid(f"{what} must be a JSON object")
    return body


def _known(body: Body, what: str, names: set[str]) -> None:
    for name in body:
        if name not in names:
            allowed = ", ".join(sorted(names - READ_ONLY))
            raise MetadefInvalid(
                f"There is no {name[:64]!r} in {what}; allowed: {allowed}", attribute=name[:64]
            )


def _name(body: Body, key: str, default: str | None = None) -> str:
    return _checked_name(body.get(key, default), key)


def _checked_name(value: object, what: str) -> str:
    if (
        not isinstance(value, str)
        or not 1 <= len(value) <= NAME_LENGTH
        or value != value.strip()
        or "\0" in value
    ):
        raise MetadefInvalid(
            f"'{what}' must be a name of 1 to {NAME_LENGTH} characters, none of them NUL, and not "
            "begin or end with a space",
            attribute=what,
        )
    return value


def _text(body: Body, key: str, length: int) -> str | None:
    value = body.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > length or "\0" in value:
        raise MetadefInvalid(
            f"'{key}' must be text of at most {length} characters, none of them NUL", attribute=key
        )
    return value


def _texts(body: Body, key: str) -> tuple[str, ...]:
    value = body.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise MetadefInvalid(f"'{key}' must be a list of texts", attribute=key)
    return tuple(dict.fromkeys(value))


def _flag(body: Body, key: str) -> bool:
    value = body.get(key)
    if value is not None and not isinstance(value, bool):
        raise MetadefInvalid(f"'{key}' must be true or false", attribute=key)
    return bool(value)


def _visibility(value: object) -> MetadefVisibility:
    if value is None:
        return MetadefVisibility.PRIVATE
    known = {each.value: each for each in MetadefVisibility}
    if not isinstance(value, str) or value not in known:
        raise MetadefInvalid("'visibility' must be public or private", attribute="visibility")
    return known[value]
