"""Types of artifacts, as data: which fields there are, and what may be in them.

A type is declared in TOML or as the same JSON document. Fields that all artifacts have (name,
version, tags, …) are not declared: they are those of `domain.artifact.Artifact`.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from kilo_catalog.errors import ArtifactTypeInvalid

_NAME = "^[a-z][a-z0-9_]{0,63}$"
Name = Annotated[str, Meta(pattern=_NAME)]
MOST_FIELDS = 100
RESERVED = frozenset(
    {"id", "name", "version", "owner", "status", "visibility", "tags", "metadata", "description",
     "created_at", "updated_at", "activated_at", "display_type_name", "type_name"}
)  # fmt: skip
"""Fields that every artifact has."""


class Kind(StrEnum):
    """What a field holds."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    LIST = "list"
    """Texts."""
    MAP = "map"
    """Texts by text."""
    LINK = "link"
    """Another artifact, which must not go while this one is there."""
    LINKS = "links"
    BLOB = "blob"
    """Bytes in a store."""
    FOLDER = "folder"
    """Any number of blobs, by name."""


BLOBS = frozenset({Kind.BLOB, Kind.FOLDER})
LINKS = frozenset({Kind.LINK, Kind.LINKS})
_NUMBERS = frozenset({Kind.INTEGER, Kind.NUMBER})
DEFAULT_BLOB = 10 << 30


class Field(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One field of a type."""

    kind: Kind
    description: Annotated[str, Meta(max_length=1000)] = ""
    unit: Annotated[str, Meta(max_length=32)] = ""
    default: Any = None
    mutable: bool = False
    """It may change while the artifact is active."""
    required_on_activate: bool = False
    filterable: bool = True
    choices: tuple[str, ...] = ()
    pattern: Annotated[str, Meta(max_length=200)] = ""
    """A regular expression that the whole text matches."""
    longest: Annotated[int, Meta(ge=1, le=65536)] = 4096
    """Characters of a text; of each one in a list or a map."""
    most: Annotated[int, Meta(ge=1, le=1000)] = 255
    """Things in a list, a map, links or a folder."""
    least: float | None = None
    greatest: float | None = None
    """Bounds of a number, both included."""
    types: tuple[Name, ...] = ()
    """Of what a link leads to; empty: any."""
    max_size: Annotated[int, Meta(ge=1)] = DEFAULT_BLOB
    """Bytes of a blob."""
    content_types: tuple[str, ...] = ()
    """Of a blob; empty: any."""


class ArtifactType(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A type as it is declared."""

    name: Name
    """In the plural, as paths have it: `heat_templates`."""
    display_name: Annotated[str, Meta(min_length=1, max_length=128)]
    description: Annotated[str, Meta(max_length=1000)] = ""
    version: Annotated[str, Meta(pattern=r"^\d+\.\d+$")] = "1.0"
    """Of the declaration."""
    fields: dict[Name, Field] = {}

    def blob(self, path: str) -> Field | None:
        """The field that a blob's path leads to: `FIELD`, or `FIELD/NAME` in a folder."""
        name, slash, rest = path.partition("/")
        field = self.fields.get(name)
        if field is None or field.kind not in BLOBS:
            return None
        return field if (field.kind is Kind.FOLDER) == bool(slash and rest) else None


def read_type(document: Mapping[str, Any], *, trusted: bool = False) -> ArtifactType:
    """The type in a declaration; `trusted` is one of this service's operator.

    Raises:
        ArtifactTypeInvalid: it contradicts itself, or is none.
    """
    try:
        found = msgspec.convert(document, ArtifactType)
    except msgspec.ValidationError as fault:
        raise ArtifactTypeInvalid(f"This is not a type of artifacts: {fault}") from None
    if len(found.fields) > MOST_FIELDS:
        raise ArtifactTypeInvalid(f"A type has at most {MOST_FIELDS} fields")
    for name, field in found.fields.items():
        if name in RESERVED:
            raise ArtifactTypeInvalid(f"Every artifact has {name} already", field=name)
        _check_field(name, field, trusted=trusted)
    return found


def _check_field(name: str, field: Field, *, trusted: bool) -> None:
    try:
        re.compile(field.pattern)
    except re.error as fault:
        raise ArtifactTypeInvalid(f"{name}: pattern: {fault}", field=name) from None
    if field.pattern and not trusted:
        # (a+)+ keeps a processor busy for ever.
        raise ArtifactTypeInvalid(f"{name}: only operators may give patterns", field=name)
    if (field.least is not None or field.greatest is not None) and field.kind not in _NUMBERS:
        raise ArtifactTypeInvalid(f"{name}: only numbers have bounds", field=name)
    if field.default is not None:
        if field.kind in BLOBS | LINKS:
            raise ArtifactTypeInvalid(f"{name}: a {field.kind} has no default", field=name)
        check_value(name, field, field.default)


def check_value(name: str, field: Field, value: Any) -> Any:
    """`value`, if the field may hold it.

    Raises:
        ArtifactTypeInvalid: it may not; the message says what it may hold.
    """
    if value is None:
        return None
    if not _fits(field, value):
        raise ArtifactTypeInvalid(f"{name} must be {_expected(field)}", field=name)
    return value


def _fits(field: Field, value: Any) -> bool:
    match field.kind:
        case Kind.TEXT:
            return _is_text(field, value)
        case Kind.BOOLEAN:
            return isinstance(value, bool)
        case Kind.INTEGER:
            return isinstance(value, int) and not isinstance(value, bool) and _within(field, value)
        case Kind.NUMBER:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            return number and _within(field, value)
        case Kind.LIST:
            few = isinstance(value, list | tuple) and len(value) <= field.most
            return few and all(_is_text(field, each) for each in value)
        case Kind.MAP:
            few = isinstance(value, dict) and len(value) <= field.most
            return few and all(
                _is_text(field, each) and isinstance(key, str) and 0 < len(key) <= 255
                for key, each in value.items()
            )
        case Kind.LINK:
            return isinstance(value, str) and 0 < len(value) <= 255
        case Kind.LINKS:
            few = isinstance(value, list | tuple) and len(value) <= field.most
            return few and all(isinstance(each, str) and 0 < len(each) <= 255 for each in value)
        case Kind.BLOB | Kind.FOLDER:
            return False


def _is_text(field: Field, value: Any) -> bool:
    return (
        isinstance(value, str)
        and len(value) <= field.longest
        and (not field.choices or value in field.choices)
        and (not field.pattern or re.fullmatch(field.pattern, value) is not None)
    )


def _within(field: Field, value: float) -> bool:
    return (field.least is None or value >= field.least) and (
        field.greatest is None or value <= field.greatest
    )


def _expected(field: Field) -> str:
    if field.kind in BLOBS:
        return "uploaded, not set"
    parts = [f"a {field.kind}" if field.kind is not Kind.INTEGER else "an integer"]
    if field.choices:
        parts.append("of " + ", ".join(field.choices))
    if field.pattern:
        parts.append(f"like {field.pattern}")
    if field.least is not None:
        parts.append(f"from {field.least:g}")
    if field.greatest is not None:
        parts.append(f"to {field.greatest:g}")
    if field.kind in (Kind.TEXT, Kind.LIST, Kind.MAP):
        parts.append(f"with at most {field.longest} characters each")
    return " ".join(parts)
