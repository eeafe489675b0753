"""What clients want of artifacts: the body of a create, and a JSON patch (RFC 6902) of one.

Both end in the same checks: each field against its declaration, and against what may still change.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, structs

from kilo_catalog.domain.artifact import (
    ALWAYS_MUTABLE,
    Artifact,
    ArtifactStatus,
    ArtifactVisibility,
)
from kilo_catalog.domain.artifact_type import BLOBS, ArtifactType, check_value
from kilo_catalog.domain.artifact_version import FIRST, read_version
from kilo_catalog.errors import ArtifactFrozen, ArtifactInvalid, PatchInvalid, PatchTestFailed

SETTABLE = frozenset({"name", "version", "description", "tags", "metadata", "visibility"})
LONGEST_NAME, LONGEST_TEXT, MOST = 255, 4096, 255
_MOST_STEPS = 256
_MISSING = object()


class Wanted(Struct, frozen=True):
    """What a body or a patch asks for."""

    artifact: Artifact
    status: ArtifactStatus | None = None
    """The status to go to, if it names one."""


def new_artifact(kind: ArtifactType, body: object, blank: Artifact) -> Artifact:
    """`blank`, with what a body says.

    Raises:
        ArtifactInvalid, ArtifactTypeInvalid: a field may not have its value.
    """
    if not isinstance(body, dict):
        raise ArtifactInvalid("An artifact is made of a JSON object")
    values = {"version": FIRST} | body
    if "name" not in values:
        raise ArtifactInvalid("An artifact needs a name")
    defaults = {
        name: field.default for name, field in kind.fields.items() if field.default is not None
    }
    artifact = structs.replace(blank, fields=defaults)
    for name, value in values.items():
        artifact = _set(artifact, kind, name, value)
    return artifact


def patched(kind: ArtifactType, artifact: Artifact, body: object) -> Wanted:
    """What an artifact becomes by a JSON patch: `add`, `remove`, `replace` and `test`.

    Raises:
        PatchInvalid: it is not a list of operations, or one of them leads nowhere.
        PatchTestFailed: a test does not hold.
        ArtifactFrozen: the field cannot change any more.
        ArtifactInvalid, ArtifactTypeInvalid: a field may not have its value.
    """
    if not isinstance(body, list) or len(body) > _MOST_STEPS:
        raise PatchInvalid(f"The body of a PATCH is a list of at most {_MOST_STEPS} operations")
    before, status = artifact, None
    for step in body:
        verb, path, value = _step(step)
        if path == ["status"] and verb != "test":
            if value not in [each.value for each in ArtifactStatus]:
                raise ArtifactInvalid("There is no such status", field="status")
            status = ArtifactStatus(str(value))
            continue
        artifact = _apply(artifact, kind, verb, path, value)
    _check_frozen(before, artifact, kind)
    return Wanted(artifact, status)


def _apply(
    artifact: Artifact, kind: ArtifactType, verb: str, path: Sequence[str], value: Any
) -> Artifact:
    name, *inside = path
    present = _get(artifact, kind, name)
    if verb == "test":
        if _down(present, inside) != value:
            raise PatchTestFailed(f"/{'/'.join(path)} is not what the test says")
        return artifact
    if inside:
        value = _changed_inside(present, verb, inside, value)
    elif verb == "remove":
        value = _EMPTY.get(name)
    return _set(artifact, kind, name, value)


_EMPTY: Mapping[str, Any] = {"tags": [], "metadata": {}, "description": ""}


def _changed_inside(present: Any, verb: str, inside: Sequence[str], value: Any) -> Any:
    """A list or a map with one thing in it changed."""
    if len(inside) != 1:
        raise PatchInvalid("There is nothing so deep inside an artifact")
    (key,) = inside
    if isinstance(present, Mapping) or present is None:
        changed = dict(present or {})
        if verb != "add" and key not in changed:
            raise PatchInvalid(f"There is no {key[:64]} to {verb}")
        if verb == "remove":
            del changed[key]
        else:
            changed[key] = value
        return changed
    if not isinstance(present, list | tuple):
        raise PatchInvalid("Only lists and maps have something inside")
    things = list(present)
    if key == "-" and verb == "add":
        return [*things, value]
    if not (key.isascii() and key.isdecimal() and len(key) < 6):
        raise PatchInvalid(f"{key[:64]} is no place in a list")
    place = int(key)
    if place > len(things) or (verb != "add" and place == len(things)):
        raise PatchInvalid(f"The list has no place {place}")
    if verb == "add":
        things.insert(place, value)
    elif verb == "remove":
        del things[place]
    else:
        things[place] = value
    return things


def _step(step: object) -> tuple[str, list[str], Any]:
    if not isinstance(step, dict):
        raise PatchInvalid("Each operation is a JSON object")
    verb, path = step.get("op"), step.get("path")
    if verb not in ("add", "remove", "replace", "test"):
        raise PatchInvalid("op must be add, remove, replace or test")
    if not isinstance(path, str) or not path.startswith("/") or len(path) > 600:
        raise PatchInvalid("path must be a JSON pointer, such as /name")
    if verb != "remove" and "value" not in step:
        raise PatchInvalid(f"{verb} needs a value")
    parts = [each.replace("~1", "/").replace("~0", "~") for each in path[1:].split("/")]
    return verb, parts, step.get("value")


def _get(artifact: Artifact, kind: ArtifactType, name: str) -> Any:
    if name in kind.fields and kind.fields[name].kind not in BLOBS:
        return artifact.fields.get(name)
    if name in SETTABLE or name == "status":
        found = getattr(artifact, name)
        return list(found) if isinstance(found, tuple) else found
    raise _unknown(kind, name)


def _down(value: Any, inside: Sequence[str]) -> Any:
    for key in inside:
        if isinstance(value, Mapping):
            value = value.get(key, _MISSING)
        elif isinstance(value, list | tuple) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return _MISSING
    return value


def _set(artifact: Artifact, kind: ArtifactType, name: str, value: Any) -> Artifact:
    field = kind.fields.get(name)
    if field is not None:
        if isinstance(value, list | tuple):
            value = list(value)
        fields = {**artifact.fields, name: check_value(name, field, value)}
        return structs.replace(
            artifact, fields={key: each for key, each in fields.items() if each is not None}
        )
    if name not in SETTABLE:
        raise _unknown(kind, name)
    return structs.replace(artifact, **{name: _common(name, value)})


def _common(name: str, value: Any) -> Any:
    """A value of a field that every artifact has."""
    match name:
        case "version":
            return read_version(value)
        case "visibility":
            if value not in [each.value for each in ArtifactVisibility]:
                raise ArtifactInvalid("visibility is private or public", field=name)
            return ArtifactVisibility(value)
        case "tags":
            texts = isinstance(value, list) and all(_is_text(each, 255) for each in value)
            if not texts or len(value) > MOST or any("," in each or not each for each in value):
                raise ArtifactInvalid("tags are texts without a comma", field=name)
            return tuple(dict.fromkeys(value))
        case "metadata":
            fits = (
                isinstance(value, dict)
                and len(value) <= MOST
                and all(
                    _is_text(key, 240) and key and _is_text(each, LONGEST_TEXT)
                    for key, each in value.items()
                )
            )
            if not fits:
                raise ArtifactInvalid("metadata is an object of texts", field=name)
            return dict(value)
        case "name":
            if not _is_text(value, LONGEST_NAME) or not value.strip():
                raise ArtifactInvalid(f"name has 1 to {LONGEST_NAME} characters", field=name)
            return value
    if not _is_text(value, LONGEST_TEXT):
        raise ArtifactInvalid(f"{name} is a text of {LONGEST_TEXT} characters", field=name)
    return value


def _is_text(value: Any, longest: int) -> bool:
    return isinstance(value, str) and len(value) <= longest and "\0" not in value


def _check_frozen(before: Artifact, after: Artifact, kind: ArtifactType) -> None:
    if before.status is ArtifactStatus.DRAFTED:
        return
    changed = [
        name for name in SETTABLE - ALWAYS_MUTABLE if getattr(before, name) != getattr(after, name)
    ]
    changed += [
        name
        for name, field in kind.fields.items()
        if not field.mutable and before.fields.get(name) != after.fields.get(name)
    ]
    if changed:
        raise ArtifactFrozen(
            f"An artifact that is {before.status} keeps its {', '.join(sorted(changed))}",
            fields=sorted(changed),
        )


def _unknown(kind: ArtifactType, name: str) -> ArtifactInvalid:
    return ArtifactInvalid(
        f"{kind.display_name} has no field {name[:64]} that could be set", field=name[:64]
    )
