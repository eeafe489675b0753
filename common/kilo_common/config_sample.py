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

    Keys are commented out: the file as printed changes nothing.
    """
    lines = ["# Every key with its default. Uncomment what you change.", ""]
    if kind.__doc__:
        lines += [*_comment(kind.__doc__.strip().splitlines()[0]), ""]
    defaults = {field.name: _default(field) for field in msgspec.structs.fields(kind)}
    _table(kind, defaults, (), lines)
    return "\n".join(lines).rstrip() + "\n"


def _table(
    kind: type[msgspec.Struct],
    defaults: Mapping[str, Any],
    path: tuple[str, ...],
    lines: list[str],
) -> None:
    nested: list[tuple[str, type[msgspec.Struct]]] = []
    for name, annotation in hints(kind).items():
        struct = struct_of(annotation)
        if struct is not None:
            nested.append((name, struct))
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
        lines += [f"[{'.'.join(here)}]", ""]
        default = defaults[name]
        inside = {each: getattr(default, each) for each in struct.__struct_fields__}
        _table(struct, inside, here, lines)


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
