"""The attributes a client may set: which there are, what they may hold, and which are ours.

`parse_new` reads the body of a create; `check_value` is the rule for one attribute, shared with
`patch`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from kilo_catalog.domain.image import CONTAINER_FORMATS, DISK_FORMATS, Visibility
from kilo_catalog.domain.limits import Limits
from kilo_catalog.errors import AttributeForbidden, ImageInvalid, LimitExceeded

READ_ONLY = frozenset(
    {
        "status", "checksum", "os_hash_algo", "os_hash_value", "size", "virtual_size",
        "created_at", "updated_at", "direct_url", "self", "file", "schema", "stores",
        "first", "next",
    }
)  # fmt: skip
RESERVED = frozenset({"location", "locations", "deleted", "deleted_at", "os_glance_import_task"})
RESERVED_PREFIX = "os_glance_"
GREATEST_INT = 2**31 - 1
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class NewImage(Struct, frozen=True):
    """What a client wants of an image that does not exist yet."""

    values: Mapping[str, Any]
    """Attributes of ours, by name; those left out have their defaults."""
    properties: Mapping[str, str]


def parse_new(body: object, limits: Limits) -> NewImage:
    """The body of a create.

    Raises:
        ImageInvalid: not an object, or a value that its attribute may not have.
        AttributeForbidden: an attribute that clients do not set.
        LimitExceeded: too many properties or tags.
    """
    if not isinstance(body, dict):
        raise ImageInvalid("The body of an image must be a JSON object")
    values: dict[str, Any] = {}
    properties: dict[str, str] = {}
    for name, value in body.items():
        check_settable(name)
        checked = check_value(name, value, limits)
        if name in SETTABLE:
            values[name] = checked
        else:
            properties[name] = checked
    check_properties(properties, limits)
    return NewImage(values, properties)


def check_settable(name: str) -> None:
    """Refuse an attribute that clients do not set.

    Raises:
        AttributeForbidden: it is read-only or reserved.
    """
    if name in READ_ONLY:
        raise AttributeForbidden(f"Attribute '{name[:255]}' is read-only.", attribute=name)
    if name in RESERVED or name.startswith(RESERVED_PREFIX):
        raise AttributeForbidden(f"Attribute '{name[:255]}' is reserved.", attribute=name)


def check_value(name: str, value: object, limits: Limits) -> Any:
    """The value as an image keeps it: an attribute of ours by its rule, a property as text.

    Raises:
        ImageInvalid: the attribute may not have it.
        LimitExceeded: too many tags.
    """
    rule = SETTABLE.get(name)
    if rule is not None:
        return rule(name, value, limits)
    check_label("property name", name, limits)
    return _text(name, value)


def check_label(what: str, label: str, limits: Limits) -> str:
    """A property's name or a tag: text of a certain length.

    Raises:
        ImageInvalid: it is empty, too long, or holds a NUL.
    """
    if not label or len(label) > limits.name_length or "\0" in label:
        raise ImageInvalid(
            f"A {what} must have 1 to {limits.name_length} characters, none of them NUL",
            limit=limits.name_length,
        )
    return label


def check_tags(name: str, value: object, limits: Limits) -> tuple[str, ...]:
    """A list of tags, without duplicates and in order. Raises as `check_value`."""
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        raise _wrong(name, "must be a list of texts")
    for tag in value:
        check_label("tag", tag, limits)
    tags = tuple(sorted(set(value)))
    check_count(len(tags), limits.tags, "tags")
    return tags


def check_properties(properties: Mapping[str, str], limits: Limits) -> None:
    """Refuse too many properties, or too long ones.

    Raises:
        LimitExceeded: there are more, or they are longer together.
    """
    check_count(len(properties), limits.properties, "properties")
    length = sum(len(name) + len(value) for name, value in properties.items())
    check_count(length, limits.properties_length, "characters in all properties")


def check_count(count: int, limit: int, what: str) -> None:
    """Refuse too many properties, tags or members.

    Raises:
        LimitExceeded: there are more than `limit`.
    """
    if count > limit:
        raise LimitExceeded(
            f"The limit on {what} has been exceeded: {count} of at most {limit}",
            what=what,
            count=count,
            limit=limit,
        )


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID in its usual form."""
    return _UUID.fullmatch(text) is not None


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(name, "must be text")
    if "\0" in value:
        raise _wrong(name, "must not hold a NUL character")
    return value


def _id(name: str, value: object, _limits: Limits) -> str:
    text = _text(name, value)
    if not is_uuid(text):
        raise _wrong(name, "must be a UUID")
    return text


def _name(name: str, value: object, limits: Limits) -> str | None:
    if value is None:
        return None
    text = _text(name, value)
    if len(text) > limits.name_length:
        raise _wrong(name, f"may have at most {limits.name_length} characters")
    return text


def _owner(name: str, value: object, _limits: Limits) -> str | None:
    if value is None:
        return None
    text = _text(name, value)
    if not text or len(text) > 255:
        raise _wrong(name, "must have 1 to 255 characters")
    return text


def _boolean(name: str, value: object, _limits: Limits) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, "must be true or false")
    return value


def _whole(name: str, value: object, _limits: Limits) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= GREATEST_INT:
        raise _wrong(name, f"must be a whole number from 0 to {GREATEST_INT}")
    return value


def _visibility(name: str, value: object, _limits: Limits) -> Visibility:
    if not isinstance(value, str) or value not in {each.value for each in Visibility}:
        raise _wrong(name, "must be one of public, community, shared, private")
    return Visibility(value)


def _one_of(allowed: frozenset[str]) -> "Rule":
    def rule(name: str, value: object, _limits: Limits) -> str | None:
        if value is not None and (not isinstance(value, str) or value not in allowed):
            raise _wrong(name, f"must be null or one of {', '.join(sorted(allowed))}")
        return value

    return rule


def _wrong(name: str, rule: str) -> ImageInvalid:
    return ImageInvalid(f"Invalid value of '{name[:255]}': it {rule}", attribute=name[:255])


Rule = Callable[[str, object, Limits], Any]
SETTABLE: Mapping[str, Rule] = {
    "id": _id,
    "name": _name,
    "owner": _owner,
    "visibility": _visibility,
    "protected": _boolean,
    "os_hidden": _boolean,
    "disk_format": _one_of(DISK_FORMATS),
    "container_format": _one_of(CONTAINER_FORMATS),
    "min_disk": _whole,
    "min_ram": _whole,
    "tags": check_tags,
}
