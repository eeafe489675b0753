"""The documented sample configuration, generated from the settings' own types."""

import json
import textwrap
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal

import msgspec

from kilo_common.config import bare, hints, struct_of


def sample(kind: type[msgspec.Struct]) -> str:
    """A TOML file with every key of `kind`, its description, its allowed values, its default.

    Keys are commented out: the file as printed changes nothing. So are tables of things that have
    names, such as stores: each default one is there, or one called NAME.
    """
    lines = ["# Every key with its default. Uncomment what you change.", ""]
    if kind.__doc__:
        lines += [*_comment(kind.__doc__.strip().splitlines()[0]), ""]
    _table(kind, _values(kind, None), (), lines)
    return "\n".join(lines).rstrip() + "\n"


def _table(
    kind: type[msgspec.Struct],
    defaults: Mapping[str, Any],
    path: tuple[str, ...],
    lines: list[str],
    mark: str = "",
) -> None:
    """The keys of a table, then the tables in it, whose headers have `mark` before them."""
    nested: list[tuple[str, type[msgspec.Struct]]] = []
    named: list[tuple[str, Any, type[msgspec.Struct]]] = []
    for name, annotation in hints(kind).items():
        struct, value = struct_of(annotation), _named_struct(annotation)
        if struct is not None:
            nested.append((name, struct))
            continue
        if value is not None:
            named.append((name, annotation, value))
            continue
        lines += _comment(_describe(annotation))
        if defaults[name] is msgspec.NODEFAULT:
            lines += [f"# {name} =   (required)", ""]
        else:
            lines += [f"# {name} = {_toml(defaults[name])}", ""]
    for name, struct in nested:
        here = (*path, name)
        if struct.__doc__:
            lines += _comment(struct.__doc__.strip().splitlines()[0])
        lines += [f"{mark}[{'.'.join(here)}]", ""]
        _table(struct, _values(struct, defaults[name]), here, lines, mark)
    for name, annotation, struct in named:
        lines += _comment(_describe(annotation))
        for key, default in (defaults[name] or {"NAME": None}).items():
            here = (*path, name, key)
            lines += [f"# [{'.'.join(here)}]", ""]
            _table(struct, _values(struct, default), here, lines, "# ")


def _values(kind: type[msgspec.Struct], given: Any) -> dict[str, Any]:
    """The values of a struct's fields: those of the one given, or the defaults."""
    if given is None:
        return {field.name: _default(field) for field in msgspec.structs.fields(kind)}
    return {each: getattr(given, each) for each in kind.__struct_fields__}


def _named_struct(annotation: Any) -> type[msgspec.Struct] | None:
    """The struct that the values of a dict are; None for any other type."""
    inner = bare(annotation)
    arguments = typing.get_args(inner)
    if typing.get_origin(inner) is not dict or len(arguments) != 2:
        return None
    return struct_of(arguments[1])


def _default(field: Any) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _describe(annotation: Any) -> str:
    parts = [
        meta.description
        for meta in typing.get_args(annotation)[1:]
        if isinstance(meta, msgspec.Meta) and meta.description
    ]
    inner = bare(annotation)
    if typing.get_origin(inner) is Literal:
        parts.append("One of: " + ", ".join(typing.get_args(inner)) + ".")
    return " ".join(parts)


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, 96)]


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inside = ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items())
        return "{ " + inside + " }" if inside else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    if value is None:
        return '""'
    if isinstance(value, Enum):
        return _toml(value.value)
    if isinstance(value, msgspec.Struct):
        return _toml(msgspec.to_builtins(value))
    return json.dumps(value, ensure_ascii=False)
