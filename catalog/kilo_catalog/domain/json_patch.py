"""JSON Patch as RFC 6902 has it, on an image as the API shows it: a pure function.

The document is patched as such; what differs afterwards are the changes to make. Thus the rules
for attributes are those of `patch.apply`, and a `test` may look at attributes that nobody sets.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from kilo_catalog.domain.attributes import check_count
from kilo_catalog.domain.image import Image
from kilo_catalog.domain.limits import Limits
from kilo_catalog.domain.patch import Change, Document, Operation
from kilo_catalog.domain.representation import represent
from kilo_catalog.errors import PatchInvalid, PatchTestFailed, PropertyConflict

MEDIA_TYPE = "application/json-patch+json"
_POINTER = re.compile(r"(?:/(?:[^/~]|~[01])*)+")
_INDEX = re.compile(r"0|[1-9][0-9]{0,5}")
_MISSING = object()

Pointer = tuple[str, ...]


class _Step(Struct, frozen=True):
    """One operation of a document."""

    verb: str
    path: Pointer
    source: Pointer = ()
    value: Any = None


def parse(body: object, limits: Limits) -> Document:
    """The changes that a document means for an image; asked for some, it raises PatchTestFailed or
    PropertyConflict if the image is not as the document supposes.

    Raises:
        PatchInvalid: it is not a list of operations.
        LimitExceeded: a list in it is longer than any list of an image.
    """
    if not isinstance(body, list):
        raise PatchInvalid("The body of a PATCH must be a list of operations")
    steps = [_parse_one(each, limits) for each in body]
    return lambda image: _changes(image, steps, limits)


def _parse_one(item: object, limits: Limits) -> _Step:
    if not isinstance(item, dict):
        raise PatchInvalid("Each operation must be a JSON object")
    verb = item.get("op")
    if not isinstance(verb, str) or verb not in _VERBS:
        raise PatchInvalid(f"Operations must be one of {', '.join(_VERBS)}", op=str(verb)[:64])
    path = _pointer(item, "path")
    if verb in ("move", "copy"):
        return _Step(verb, path, source=_pointer(item, "from"))
    if verb == "remove":
        return _Step(verb, path)
    if "value" not in item:
        raise PatchInvalid(f"Operation {verb!r} requires a member named 'value'")
    value = _flat(item["value"], limits)
    if len(path) > 1:
        _flat([value], limits)
    return _Step(verb, path, value=value)


def _pointer(item: Mapping[str, Any], member: str) -> Pointer:
    text = item.get(member)
    if not isinstance(text, str) or not _POINTER.fullmatch(text):
        raise PatchInvalid(f"{member!r} must be a JSON pointer such as /name or /tags/0")
    tokens = text.split("/")[1:]
    if len(tokens) > 2:
        raise PatchInvalid(f"{member!r} is deeper than an image", path=text[:255])
    return tuple(each.replace("~1", "/").replace("~0", "~") for each in tokens)


def _flat(value: Any, limits: Limits) -> Any:
    """A value as shallow as all of an image's."""
    if isinstance(value, list):
        check_count(len(value), limits.tags, "items in a list")
    if isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(each, dict | list) for each in value)
    ):
        raise PatchInvalid("Values of an image are texts, numbers, booleans and lists of them")
    return value


def _changes(image: Image, steps: Sequence[_Step], limits: Limits) -> Sequence[Change]:
    before = represent(image) | {"tags": list(image.tags)}
    after = before | {"tags": list(image.tags)}
    for step in steps:
        _VERBS[step.verb](after, step, limits)
    changes = [Change(Operation.REMOVE, name) for name in before if name not in after]
    changes += [
        Change(Operation.REPLACE if name in before else Operation.ADD, name, value)
        for name, value in after.items()
        if not _same(value, before.get(name, _MISSING))
    ]
    return changes


def _add(document: dict[str, Any], step: _Step, limits: Limits) -> None:
    name, *index = step.path
    if not index:
        _set(document, name, step.value)
        return
    items = _list(document, name)
    position = len(items) if index == ["-"] else _position(index[0], len(items) + 1)
    items.insert(position, step.value)
    check_count(len(items), limits.tags, "items in a list")


def _remove(document: dict[str, Any], step: _Step, _limits: Limits) -> None:
    name, *index = step.path
    _get(document, step.path)
    if index:
        del document[name][int(index[0])]
    else:
        del document[name]


def _replace(document: dict[str, Any], step: _Step, _limits: Limits) -> None:
    name, *index = step.path
    _get(document, step.path)
    if index:
        document[name][int(index[0])] = step.value
    else:
        _set(document, name, step.value)


def _test(document: dict[str, Any], step: _Step, _limits: Limits) -> None:
    if not _same(_get(document, step.path), step.value):
        raise PatchTestFailed(
            f"The image's {'/'.join(step.path)[:255]!r} is not what the PATCH tests for",
            path="/".join(step.path)[:255],
        )


def _copy(document: dict[str, Any], step: _Step, limits: Limits) -> None:
    value = _get(document, step.source)
    if len(step.path) > 1:
        _flat([value], limits)
    _add(document, _Step("add", step.path, value=value), limits)


def _move(document: dict[str, Any], step: _Step, limits: Limits) -> None:
    value = _get(document, step.source)
    _remove(document, _Step("remove", step.source), limits)
    if len(step.path) > 1:
        _flat([value], limits)
    _add(document, _Step("add", step.path, value=value), limits)


_VERBS: Mapping[str, Callable[[dict[str, Any], _Step, Limits], None]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "test": _test,
    "move": _move,
    "copy": _copy,
}


def _set(document: dict[str, Any], name: str, value: Any) -> None:
    # A copy: the steps may be applied again, to a newer version of the image.
    document[name] = list(value) if isinstance(value, list) else value


def _get(document: Mapping[str, Any], path: Pointer) -> Any:
    name, *index = path
    if index:
        items = _list(document, name)
        return items[_position(index[0], len(items))]
    if name not in document:
        raise PropertyConflict(f"Property {name[:255]} does not exist.", attribute=name[:255])
    return document[name]


def _list(document: Mapping[str, Any], name: str) -> list[Any]:
    found = _get(document, (name,))
    if not isinstance(found, list):
        raise PatchInvalid(f"{name[:255]!r} is not a list", attribute=name[:255])
    return found


def _position(token: str, end: int) -> int:
    if not _INDEX.fullmatch(token):
        raise PatchInvalid(f"{token[:64]!r} is not a place in a list")
    if int(token) >= end:
        raise PropertyConflict(f"There is no place {token} in the list", place=token)
    return int(token)


def _same(one: Any, other: Any) -> bool:
    """Equality of JSON values: unlike in Python, `true` is not 1."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
