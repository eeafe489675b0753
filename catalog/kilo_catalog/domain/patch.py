"""JSON-patch of images, in the API's own media types, as pure functions: parse, then apply.

v2.1 is RFC 6902 cut down to add, replace and remove on one level; v2.0 is an early draft of it,
in which `add` must not meet an existing attribute and a short form exists:
`{"replace": "/name", "value": "x"}`. All of RFC 6902 is in `json_patch.py`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

from msgspec import Struct, structs

from kilo_catalog.domain.attributes import (
    SETTABLE,
    check_properties,
    check_settable,
    check_value,
)
from kilo_catalog.domain.image import Image, ImageStatus
from kilo_catalog.domain.limits import Limits
from kilo_catalog.errors import AttributeForbidden, PatchInvalid, PropertyConflict, StatusForbids

MEDIA_TYPE_V20 = "application/openstack-images-v2.0-json-patch"
MEDIA_TYPE_V21 = "application/openstack-images-v2.1-json-patch"
MEDIA_TYPES = (MEDIA_TYPE_V20, MEDIA_TYPE_V21)
_POINTER = re.compile(r"/((?:[^/~]|~[01])+)")
_FORMATS = frozenset({"disk_format", "container_format"})
_FORMATS_OPEN = frozenset({ImageStatus.QUEUED, ImageStatus.IMPORTING})


class Operation(Enum):
    """What a change does to its attribute."""

    ADD = "add"
    REPLACE = "replace"
    REMOVE = "remove"


class Change(Struct, frozen=True):
    """One operation of a PATCH document."""

    operation: Operation
    name: str
    value: Any = None
    add_is_strict: bool = False
    """Whether adding what exists is an error (v2.0)."""


Document = Callable[[Image], Sequence[Change]]
"""What a PATCH document means for an image as it is at that moment."""


def parse(body: object, media_type: str) -> Document:
    """The changes of a PATCH document, the same for each image.

    Raises:
        PatchInvalid: it is not a list of operations that we know.
    """
    if not isinstance(body, list):
        raise PatchInvalid("The body of a PATCH must be a list of operations")
    strict = media_type == MEDIA_TYPE_V20
    changes = tuple(_parse_one(each, strict) for each in body)
    return lambda _image: changes


def _parse_one(item: object, strict: bool) -> Change:
    if not isinstance(item, dict):
        raise PatchInvalid("Each operation must be a JSON object")
    verb, path = _verb_and_path(item, strict)
    try:
        operation = Operation(verb)
    except ValueError:
        raise PatchInvalid(
            "Operations must be one of add, replace, remove", operation=str(verb)[:64]
        ) from None
    if operation is not Operation.REMOVE and "value" not in item:
        raise PatchInvalid(f"Operation {operation.value!r} requires a member named 'value'")
    return Change(operation, _attribute(path), item.get("value"), strict)


def _verb_and_path(item: Mapping[str, Any], strict: bool) -> tuple[object, object]:
    if "op" in item:
        return item["op"], item.get("path")
    short = [each.value for each in Operation if each.value in item] if strict else []
    if len(short) != 1:
        raise PatchInvalid("Each operation must name exactly one of add, replace, remove")
    return short[0], item[short[0]]


def _attribute(path: object) -> str:
    match = _POINTER.fullmatch(path) if isinstance(path, str) else None
    if match is None:
        raise PatchInvalid(
            "A path must be a JSON pointer of one level, such as /name", path=str(path)[:255]
        )
    return match[1].replace("~1", "/").replace("~0", "~")


def apply(image: Image, changes: Sequence[Change], limits: Limits, now: datetime) -> Image:
    """`image` with all changes made, in order; itself if there are none.

    Raises:
        AttributeForbidden: a read-only or reserved attribute, or the removal of one of ours.
        StatusForbids: a format is changed after data has come.
        PropertyConflict: a change does not fit what is there.
        ImageInvalid, LimitExceeded: a value that its attribute may not have.
    """
    values: dict[str, Any] = {}
    properties = dict(image.properties)
    for change in changes:
        _check_name(image, change)
        if change.name in SETTABLE:
            values[change.name] = _own_value(change, limits)
        else:
            _change_property(properties, change, limits)
    check_properties(properties, limits)
    if not changes:
        return image
    return structs.replace(image, **values, properties=properties, updated_at=now)


def _check_name(image: Image, change: Change) -> None:
    check_settable(change.name)
    if change.name == "id":
        raise AttributeForbidden("Attribute 'id' is read-only.", attribute="id")
    if change.name in _FORMATS and image.status not in _FORMATS_OPEN:
        raise StatusForbids(
            f"Attribute '{change.name}' can only be changed while an image has no data; "
            f"this one is {image.status.value}.",
            attribute=change.name,
            status=image.status.value,
        )


def _own_value(change: Change, limits: Limits) -> Any:
    if change.operation is Operation.REMOVE:
        raise AttributeForbidden(
            f"Attribute '{change.name}' cannot be removed.", attribute=change.name
        )
    if change.operation is Operation.ADD and change.add_is_strict:
        raise PropertyConflict(f"Property {change.name} already exists.", attribute=change.name)
    return check_value(change.name, change.value, limits)


def _change_property(properties: dict[str, str], change: Change, limits: Limits) -> None:
    exists = change.name in properties
    if change.operation is Operation.ADD:
        if exists and change.add_is_strict:
            raise PropertyConflict(
                f"Property {change.name[:255]} already exists.", attribute=change.name[:255]
            )
    elif not exists:
        raise PropertyConflict(
            f"Property {change.name[:255]} does not exist.", attribute=change.name[:255]
        )
    if change.operation is Operation.REMOVE:
        del properties[change.name]
    else:
        properties[change.name] = check_value(change.name, change.value, limits)
