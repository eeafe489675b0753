"""Which messages a subscription wants: conditions on their attributes and on fields of their body.

A filter is `{"attributes": {NAME: CONDITIONS}, "body": {PATH: CONDITIONS}}`. Every name and path
must be met by one of its conditions. A path is the keys that lead to a value, joined by dots. A
condition is a value that must be equal, or an object with `prefix`, `suffix`, `exists`, `not`,
`below`, `above`, `from` or `to` (numbers; the last two include the bound), which must all hold.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

Scalar = str | int | float | bool | None
Number = int | float
Name = Annotated[str, Meta(min_length=1, max_length=256)]
_ABSENT = object()


class Condition(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a value must be like; all that is set must hold."""

    prefix: str | UnsetType = UNSET
    suffix: str | UnsetType = UNSET
    exists: bool | UnsetType = UNSET
    unlike: Scalar | UnsetType = msgspec.field(name="not", default=UNSET)
    below: Number | UnsetType = UNSET
    above: Number | UnsetType = UNSET
    at_least: Number | UnsetType = msgspec.field(name="from", default=UNSET)
    at_most: Number | UnsetType = msgspec.field(name="to", default=UNSET)

    def is_met(self, value: Any) -> bool:
        """Whether `value` fits; `_ABSENT` stands for none."""
        if self.exists is not UNSET and self.exists != (value is not _ABSENT):
            return False
        if value is _ABSENT:
            return self.exists is False
        return (
            (self.unlike is UNSET or not _same(value, self.unlike))
            and self._fits_text(value)
            and self._fits_number(value)
        )

    def _fits_text(self, value: Any) -> bool:
        if self.prefix is UNSET and self.suffix is UNSET:
            return True
        return (
            isinstance(value, str)
            and (self.prefix is UNSET or value.startswith(self.prefix))
            and (self.suffix is UNSET or value.endswith(self.suffix))
        )

    def _fits_number(self, value: Any) -> bool:
        bounds = (self.below, self.above, self.at_least, self.at_most)
        if all(bound is UNSET for bound in bounds):
            return True
        return (
            _is_number(value)
            and (self.below is UNSET or value < self.below)
            and (self.above is UNSET or value > self.above)
            and (self.at_least is UNSET or value >= self.at_least)
            and (self.at_most is UNSET or value <= self.at_most)
        )


Conditions = Annotated[tuple[Condition | Scalar, ...], Meta(min_length=1, max_length=32)]
Fields = Annotated[dict[Name, Conditions], Meta(max_length=32)]


class ContentFilter(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Lets through what meets all that it names."""

    attributes: Fields = {}
    body: Fields = {}

    def matches(self, body: bytes, attributes: bytes | None) -> bool:
        """Whether a message is wanted; both are JSON text."""
        if self.attributes:
            held = msgspec.json.decode(attributes) if attributes else {}
            if not all(
                _meets(held.get(name, _ABSENT), wanted) for name, wanted in self.attributes.items()
            ):
                return False
        if not self.body:
            return True
        try:
            content = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError):
            return False  # numbers or depths that we cannot hold meet no condition
        return all(_meets(_at(content, path), wanted) for path, wanted in self.body.items())


def _meets(value: Any, wanted: tuple[Condition | Scalar, ...]) -> bool:
    return any(
        each.is_met(value)
        if isinstance(each, Condition)
        else value is not _ABSENT and _same(value, each)
        for each in wanted
    )


def _at(content: Any, path: str) -> Any:
    """The value that the path leads to, or `_ABSENT`."""
    for key in path.split("."):
        if not isinstance(content, Mapping) or key not in content:
            return _ABSENT
        content = content[key]
    return content


def _same(value: Any, other: Scalar) -> bool:
    """Equality as JSON has it: true is not 1."""
    return isinstance(value, bool) == isinstance(other, bool) and bool(value == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
