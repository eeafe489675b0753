"""Reads a listing's query string: filters, sort order, marker and limit."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from kilo_catalog.domain.image import ImageStatus, Visibility
from kilo_catalog.domain.limits import Limits
from kilo_catalog.domain.listing import (
    NOT_HIDDEN,
    SORT_KEYS,
    Condition,
    ListQuery,
    SortKey,
    Test,
    reach_of,
)
from kilo_catalog.domain.member import MemberStatus
from kilo_catalog.errors import ListQueryInvalid

Pairs = Sequence[tuple[str, str]]
_SORTING = frozenset({"sort", "sort_key", "sort_dir"})
_PAGING = frozenset({"limit", "marker", "visibility", "member_status"})
_OPERATORS = frozenset({"gt", "gte", "lt", "lte", "eq", "neq", "in"})
_TEXTS_IN = frozenset({"name", "id", "status", "disk_format", "container_format"})
_TEXTS = frozenset({"owner", "checksum", "os_hash_algo", "os_hash_value"})
_NUMBERS = frozenset({"size", "virtual_size", "min_disk", "min_ram"})
_TIMES = frozenset({"created_at", "updated_at"})
_BOOLEANS = frozenset({"protected", "os_hidden"})
_MEMBER_STATUSES = (*(each.value for each in MemberStatus), "all")
_VISIBILITIES = (*(each.value for each in Visibility), "all")
_LIST_ITEM = re.compile(r'\s*(?:"([^"]*)"|([^",]*))\s*(?:,|$)')
_GREATEST = 2**63 - 1
_SECOND = timedelta(seconds=1)


def parse_query(
    pairs: Pairs, limits: Limits, project_id: str | None, *, is_admin: bool
) -> ListQuery:
    """The listing that a query string asks for.

    Raises:
        ListQueryInvalid: a part of it is malformed; the message says which and how.
    """
    for _name, value in pairs:
        if "\0" in value or "\0" in _name:
            raise ListQueryInvalid("A query parameter must not hold a NUL character")
    given = dict(pairs)
    if "member_status" in given:
        _choice("member_status", given["member_status"], _MEMBER_STATUSES)
    if "changes-since" in given:
        raise ListQueryInvalid("changes-since is not supported; use updated_at=gte:TIME")
    visibility = given.get("visibility")
    if visibility is not None:
        _choice("visibility", visibility, _VISIBILITIES)
    conditions = [each for pair in pairs for each in _conditions(*pair)]
    if "os_hidden" not in given:
        conditions.append(NOT_HIDDEN)
    return ListQuery(
        reach_of(
            project_id,
            is_admin=is_admin,
            visibility=visibility,
            member_status=given.get("member_status"),
        ),
        tuple(conditions),
        _sort(pairs),
        _limit(given.get("limit"), limits),
        given.get("marker"),
    )


def _limit(text: str | None, limits: Limits) -> int:
    if text is None:
        return limits.page_default
    return min(_number("limit", text), limits.page_most)


def _conditions(name: str, value: str) -> list[Condition]:
    if name in _SORTING or name in _PAGING:
        return []
    if name == "tag":
        return [Condition("tags", Test.TAGGED, value)]
    if name in _TIMES:
        return _time(name, value)
    if name in _BOOLEANS:
        return [Condition(name, Test.IN, (_boolean(name, value),))]
    if name in _NUMBERS:
        return [Condition(name, Test.IN, (_number(name, value),))]
    attribute, _, bound = name.rpartition("_")
    if attribute in _NUMBERS and bound in _BOUNDS:
        return [_BOUNDS[bound](attribute, _number(name, value))]
    operator = _operator(value)
    if name in _TEXTS_IN:
        return [Condition(name, Test.IN, _known(name, _texts(name, operator, value)))]
    if operator is not None and operator != "in":
        raise ListQueryInvalid(f"The operator {operator!r} is not supported for {name[:64]!r}")
    if name in _TEXTS:
        return [Condition(name, Test.IN, (value,))]
    return [Condition(name, Test.PROPERTY, value)]


_BOUNDS: dict[str, Callable[[str, int], Condition]] = {
    "min": lambda name, least: Condition(name, Test.AT_LEAST, least),
    "max": lambda name, most: Condition(name, Test.BELOW, min(most + 1, _GREATEST)),
}


def _operator(value: str) -> str | None:
    """The operator before the first colon, if that is one."""
    before, colon, _ = value.partition(":")
    return before if colon and before in _OPERATORS else None


def _texts(name: str, operator: str | None, value: str) -> tuple[str, ...]:
    if operator is None:
        return (value,)
    if operator != "in":
        raise ListQueryInvalid(f"The operator {operator!r} is not supported for {name!r}")
    return _split_list(value.removeprefix("in:"))


def _split_list(text: str) -> tuple[str, ...]:
    """`a,"b,c"` as its items."""
    items: list[str] = []
    position = 0
    while position < len(text):
        match = _LIST_ITEM.match(text, position)
        if match is None or match.end() == position:
            raise ListQueryInvalid("An in: list is malformed: quote items that hold a comma")
        items.append(match[1] if match[1] is not None else match[2].strip())
        position = match.end()
    return tuple(items)


def _known(name: str, values: tuple[str, ...]) -> tuple[Any, ...]:
    """Statuses as such; an unknown one matches nothing."""
    if name != "status":
        return values
    known = {each.value: each for each in ImageStatus}
    return tuple(known[value] for value in values if value in known)


def _time(name: str, value: str) -> list[Condition]:
    """A moment counts as its whole second: that is how the API shows it."""
    operator = _operator(value)
    if operator == "in":
        raise ListQueryInvalid(f"The operator 'in' is not supported for {name!r}")
    text = value.partition(":")[2] if operator else value
    try:
        moment = datetime.fromisoformat(text)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        start = moment.replace(microsecond=0)
        end = start + _SECOND
    except (ValueError, OverflowError):
        raise ListQueryInvalid(
            f"{name} needs a time such as gte:2026-11-23T16:58:00Z", value=value[:64]
        ) from None
    at_least, below = Test.AT_LEAST, Test.BELOW
    found: dict[str | None, list[Condition]] = {
        None: [Condition(name, at_least, start), Condition(name, below, end)],
        "eq": [Condition(name, at_least, start), Condition(name, below, end)],
        "neq": [Condition(name, Test.OUTSIDE, (start, end))],
        "gt": [Condition(name, at_least, end)],
        "gte": [Condition(name, at_least, start)],
        "lt": [Condition(name, below, start)],
        "lte": [Condition(name, below, end)],
    }
    return found[operator]


def _boolean(name: str, value: str) -> bool:
    return _choice(name, value.lower(), ("true", "false")) == "true"


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > _GREATEST:
        raise ListQueryInvalid(f"{name} must be a whole number, not negative", value=text[:64])
    return int(text)


def _choice(name: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise ListQueryInvalid(f"{name} must be one of {', '.join(allowed)}", value=value[:64])
    return value


def _sort(pairs: Pairs) -> tuple[SortKey, ...]:
    combined = [value for name, value in pairs if name == "sort"]
    keys = [value for name, value in pairs if name == "sort_key"]
    directions = [value for name, value in pairs if name == "sort_dir"]
    if combined and (keys or directions):
        raise ListQueryInvalid("Use either sort, or sort_key and sort_dir, not both")
    if combined:
        items = [item.partition(":")[::2] for item in combined[-1].split(",")]
        wanted = [(key.strip(), direction.strip() or "desc") for key, direction in items]
    else:
        wanted = _pair_up(keys, directions)
    for key, direction in wanted:
        _choice("sort key", key, SORT_KEYS)
        _choice("sort direction", direction, ("asc", "desc"))
    if len({key for key, _ in wanted}) < len(wanted):
        raise ListQueryInvalid("A sort key may be given once")
    return _make_total(wanted)


def _pair_up(keys: list[str], directions: list[str]) -> list[tuple[str, str]]:
    keys = keys or ["created_at"]
    if len(directions) > 1 and len(directions) != len(keys):
        raise ListQueryInvalid("Give one sort_dir, or as many as there are sort_keys")
    if len(directions) != len(keys):
        directions = (directions or ["desc"]) * len(keys)
    return list(zip(keys, directions, strict=True))


def _make_total(wanted: list[tuple[str, str]]) -> tuple[SortKey, ...]:
    """The keys wanted, then `created_at` and `id` in the direction of the first one."""
    named = {key for key, _ in wanted}
    if "id" not in named:
        rest = [(key, wanted[0][1]) for key in ("created_at", "id") if key not in named]
        wanted = [*wanted, *rest]
    return tuple(SortKey(key, direction == "desc") for key, direction in wanted)
