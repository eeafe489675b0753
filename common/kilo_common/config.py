"""Configuration: one TOML file and `KILO_…` environment variables become frozen structs.

Settings are `msgspec.Struct` types; each field carries its documentation as
`Annotated[T, Meta(description=…)]`. `load` is called once, by a start file, and what it returns is
handed in: nothing here is kept. `config_sample` prints the documented sample of the same types.
"""

import re
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from kilo_common.errors import ConfigInvalid

S = TypeVar("S", bound=msgspec.Struct)
PREFIX = "KILO_"
_PATH = re.compile(r" - at `\$([^`]*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of every settings struct: frozen, by keyword, and no unknown keys."""


def load(
    kind: type[S],
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> S:
    """The settings of type `kind`: defaults, then `file`, then `environ`, then `overrides`.

    An environment variable names its key by its path, joined with two underscores:
    `KILO_CATALOG__HTTP__PORT=9393` sets `catalog.http.port`. `overrides` has dotted paths as keys;
    the command line's options arrive there.

    Raises:
        ConfigInvalid: with the file (or variable), the key, and what it may be.
    """
    tree = _read(file) if file else {}
    origin: dict[str, str] = {}
    for name, text in sorted((environ or {}).items()):
        if name.startswith(PREFIX):
            path = name.removeprefix(PREFIX).lower().split("__")
            value = _from_text(text, _type_at(kind, path))
            _put(tree, path, value, name)
            origin[".".join(path)] = name
    for dotted, value in (overrides or {}).items():
        _put(tree, dotted.split("."), value, "the command line")
        origin[dotted] = "the command line"
    _inherit(tree, section_defaults(kind))
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as fault:
        raise _explain(kind, str(fault), str(file or "the configuration"), origin) from None


def _inherit(table: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    """Give sections that are written in part what their default has for the other keys.

    `[catalog.http]` with a host alone keeps the catalog's own port, not that of any listener.
    """
    for name, default in defaults.items():
        section = table.get(name)
        if isinstance(default, msgspec.Struct) and isinstance(section, dict):
            inside = {each: getattr(default, each) for each in default.__struct_fields__}
            for key, value in inside.items():
                if key not in section:
                    section[key] = msgspec.to_builtins(value)
            _inherit(section, inside)


def section_defaults(kind: type[msgspec.Struct]) -> dict[str, msgspec.Struct]:
    """The fields of a struct that are sections themselves, with what each is by default."""
    found: dict[str, msgspec.Struct] = {}
    for field in msgspec.structs.fields(kind):
        default = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        if isinstance(default, msgspec.Struct):
            found[field.name] = default
    return found


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as fault:
        raise ConfigInvalid(
            f"{file}: cannot be read ({fault.strerror}); give an existing file to --config",
            file=str(file),
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise ConfigInvalid(f"{file}: is not valid TOML: {fault}", file=str(file)) from None


def _put(tree: dict[str, Any], path: list[str], value: Any, origin: str) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise ConfigInvalid(f"{origin}: {key} is a value, not a table", key=key)
    tree[path[-1]] = value


def _from_text(text: str, kind: Any) -> Any:
    """The value an environment variable means: text where text is wanted, else a TOML value."""
    wanted = _members(kind)
    if str in wanted or kind is None:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _members(kind: Any) -> tuple[Any, ...]:
    kind = bare(kind)
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return tuple(bare(member) for member in typing.get_args(kind))
    if typing.get_origin(kind) is Literal:
        return (str,)
    return (kind,)


def bare(kind: Any) -> Any:
    """`kind` without its annotations."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind


def hints(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The fields of a struct with their full annotations, in order of definition."""
    found = typing.get_type_hints(kind, include_extras=True)
    return {name: found[name] for name in kind.__struct_fields__}


def struct_of(kind: Any) -> type[msgspec.Struct] | None:
    """The struct that `kind` is, or None if it is a plain value."""
    kind = bare(kind)
    return kind if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None


def _type_at(kind: Any, path: list[str]) -> Any:
    """The type at a path of keys, or None where the path leads nowhere."""
    for key in path:
        struct = struct_of(kind)
        if struct is not None:
            kind = hints(struct).get(key)
        elif typing.get_origin(bare(kind)) in (dict, Mapping):
            kind = typing.get_args(bare(kind))[1]
        else:
            return None
    return kind


def _explain(
    kind: type[msgspec.Struct], fault: str, source: str, origin: Mapping[str, str]
) -> ConfigInvalid:
    """msgspec's complaint as a sentence with file, key and what is allowed there."""
    where = _PATH.search(fault)
    path = [key for key in (where[1] if where else "").split(".") if key]
    reason = _PATH.sub("", fault)
    unknown = _UNKNOWN.search(reason)
    if unknown:
        struct = struct_of(_type_at(kind, path))
        allowed = ", ".join(struct.__struct_fields__) if struct else "none"
        path = [*path, unknown[1]]
        reason = f"there is no such key; allowed here: {allowed}"
    else:
        target = bare(_type_at(kind, path))
        if typing.get_origin(target) is Literal:
            values = ", ".join(repr(value) for value in typing.get_args(target))
            reason = f"{reason}; allowed: {values}"
    key = ".".join(path) or "(top level)"
    source = origin.get(key, source)
    return ConfigInvalid(f"{source}: {key}: {reason}", file=source, key=key)
