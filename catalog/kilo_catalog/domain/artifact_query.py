"""What a listing of artifacts asks for, and how it is read from a query string.

`FIELD=VALUE` or `FIELD=OP:VALUE`, with eq, neq, in, gt, gte, lt, lte, like; `version=latest`;
`tags=a,b` (all of them), `tags-any=a,b`; `q=WORDS`; `sort=FIELD:asc|desc`; `limit`; `marker`.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from kilo_catalog.domain.artifact import Artifact, ArtifactStatus, ArtifactVisibility
from kilo_catalog.domain.artifact_type import BLOBS, ArtifactType, Kind
from kilo_catalog.domain.artifact_version import read_version, sort_key
from kilo_catalog.domain.limits import Limits
from kilo_catalog.errors import ArtifactInvalid, ListQueryInvalid

Pairs = Sequence[tuple[str, str]]
Value = str | float | datetime
TIMES = frozenset({"created_at", "updated_at", "activated_at"})
TEXTS = frozenset({"id", "name", "owner", "status", "visibility", "description", "version"})
SORTABLE = frozenset({"created_at", "updated_at", "activated_at", "name", "version", "status"})
_OPS = frozenset({"eq", "neq", "in", "gt", "gte", "lt", "lte", "like"})
_ORDERED = frozenset({"gt", "gte", "lt", "lte"})
_NOT_FILTERS = frozenset({"limit", "marker", "sort", "q", "tags", "tags-any", "display_type_name"})
_WORD = re.compile(r"\w+")
LONGEST_WORD = 64


class Condition(Struct, frozen=True):
    """One filter. On a field of the type, `own` is true; `version` is compared by its order."""

    field: str
    op: str
    values: tuple[Value, ...]
    own: bool = False


class ArtifactQuery(Struct, frozen=True, kw_only=True):
    """One page of a listing."""

    type_name: str | None
    """None: of all types."""
    project: str | None
    sees_all: bool
    conditions: tuple[Condition, ...] = ()
    tags: tuple[str, ...] = ()
    any_tags: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    latest: bool = False
    """Of each name, the greatest version alone."""
    sort: str = "created_at"
    descending: bool = True
    limit: int = 25
    marker: str | None = None


class ArtifactPage(Struct, frozen=True):
    """What was found."""

    artifacts: tuple[Artifact, ...]
    has_more: bool


class IndexEntry(Struct, frozen=True):
    """A value that artifacts are found by."""

    field: str
    text: str
    number: float | None = None


def index_of(artifact: Artifact, kind: ArtifactType) -> Sequence[IndexEntry]:
    """What filters on fields of its type, and on metadata, find an artifact by."""
    found = [IndexEntry("tags", tag) for tag in artifact.tags]
    found += [IndexEntry(f"metadata.{key}", text) for key, text in artifact.metadata.items()]
    for name, value in artifact.fields.items():
        field = kind.fields.get(name)
        if field is None or value is None or not field.filterable or field.kind in BLOBS:
            continue
        if field.kind is Kind.MAP:
            found += [IndexEntry(f"{name}.{key}", text) for key, text in value.items()]
        elif field.kind in (Kind.LIST, Kind.LINKS):
            found += [IndexEntry(name, text) for text in dict.fromkeys(value)]
        elif field.kind in (Kind.INTEGER, Kind.NUMBER):
            found.append(IndexEntry(name, f"{value:g}", float(value)))
        else:
            found.append(IndexEntry(name, str(value).lower() if value in (True, False) else value))
    return found


def words_of(artifact: Artifact) -> frozenset[str]:
    """What a search for words finds an artifact by: name, description, tags, metadata, texts."""
    texts = [artifact.name, artifact.description, *artifact.tags, *artifact.metadata.values()]
    texts += [value for value in artifact.fields.values() if isinstance(value, str)]
    return frozenset(words_in(" ".join(texts)))


def words_in(text: str) -> list[str]:
    """The words of a text, as they are compared."""
    return [each[:LONGEST_WORD] for each in _WORD.findall(text.casefold())]


def parse_artifact_query(
    pairs: Pairs, kind: ArtifactType | None, limits: Limits, project: str | None, *, is_admin: bool
) -> ArtifactQuery:
    """The page that a query string asks for.

    Raises:
        ListQueryInvalid: a part of it is malformed, or names no field.
    """
    given = dict(pairs)
    latest = given.get("version") == "latest"
    conditions = [
        _condition(kind, name, text)
        for name, text in pairs
        if name not in _NOT_FILTERS and not (name == "version" and latest)
    ]
    key, _colon, direction = given.get("sort", "created_at:desc").partition(":")
    if key not in SORTABLE or direction not in ("", "asc", "desc"):
        raise ListQueryInvalid(f"sort is FIELD:asc or FIELD:desc, of {', '.join(sorted(SORTABLE))}")
    return ArtifactQuery(
        type_name=None if kind is None else kind.name,
        project=project,
        sees_all=is_admin,
        conditions=tuple(conditions),
        tags=_split(given.get("tags", "")),
        any_tags=_split(given.get("tags-any", "")),
        words=tuple(words_in(given.get("q", "")))[:20],
        latest=latest,
        sort=key,
        descending=direction == "desc",
        limit=_limit(given, limits),
        marker=given.get("marker"),
    )


def meets(artifact: Artifact, kind: Mapping[str, ArtifactType], query: ArtifactQuery) -> bool:
    """Whether an artifact is one that the query asks for, its page apart."""
    if query.type_name is not None and artifact.type_name != query.type_name:
        return False
    entries = index_of(artifact, kind[artifact.type_name])
    return (
        all(_holds(artifact, entries, each) for each in query.conditions)
        and set(query.tags) <= set(artifact.tags)
        and (not query.any_tags or bool(set(query.any_tags) & set(artifact.tags)))
        and all(
            any(word.startswith(wanted) for word in words_of(artifact)) for wanted in query.words
        )
    )


def _holds(artifact: Artifact, entries: Sequence[IndexEntry], condition: Condition) -> bool:
    if not condition.own:
        value = getattr(artifact, condition.field)
        if condition.field == "version":
            value = sort_key(value)
        return value is not None and _compare(value, condition)
    for entry in entries:
        if entry.field == condition.field:
            number = isinstance(condition.values[0], float)
            value = entry.number if number else entry.text
            if value is not None and _compare(value, condition):
                return True
    return False


def _compare(value: Value, condition: Condition) -> bool:
    first = condition.values[0]
    match condition.op:
        case "eq":
            return value == first
        case "neq":
            return value != first
        case "in":
            return value in condition.values
        case "like":
            pattern = "".join(".*" if c == "%" else re.escape(c) for c in str(first))
            return re.fullmatch(pattern, str(value), re.DOTALL) is not None
        case "gt":
            return value > first  # type: ignore[operator]  # of one kind, as parsed
        case "gte":
            return value >= first  # type: ignore[operator]
        case "lt":
            return value < first  # type: ignore[operator]
        case _:
            return value <= first  # type: ignore[operator]


def _condition(kind: ArtifactType | None, name: str, text: str) -> Condition:
    op, colon, rest = text.partition(":")
    if not colon or op not in _OPS:
        op, rest = "eq", text
    values = _split(rest) if op == "in" else (rest,)
    if not values:
        raise ListQueryInvalid(f"{name}=in: names no value")
    if name in TEXTS or name in TIMES:
        if op in _ORDERED and name not in TIMES and name not in ("version", "name"):
            raise ListQueryInvalid(f"{name} has no order: use eq, neq, in or like")
        return Condition(name, op, tuple(_common(name, each) for each in values))
    first, dot, _key = name.partition(".")
    if first == "metadata" and dot:
        return Condition(name, op, values, own=True)
    field = None if kind is None else kind.fields.get(first)
    if field is None or not field.filterable or field.kind in BLOBS:
        raise ListQueryInvalid(f"There is no field {name[:64]} to filter by")
    if field.kind in (Kind.INTEGER, Kind.NUMBER):
        try:
            return Condition(name, op, tuple(float(each) for each in values), own=True)
        except ValueError:
            raise ListQueryInvalid(f"{name} is compared with a number") from None
    return Condition(name, op, values, own=True)


def _common(name: str, text: str) -> Value:
    if name in TIMES:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ListQueryInvalid(f"{name} is compared with a time, such as 2030-01-31") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if name == "version":
        try:
            return sort_key(read_version(text))
        except ArtifactInvalid as fault:
            raise ListQueryInvalid(fault.message) from None
    known = {"status": ArtifactStatus, "visibility": ArtifactVisibility}.get(name)
    if known is not None and text not in [each.value for each in known]:
        raise ListQueryInvalid(f"There is no {name} {text[:64]}")
    return text


def _limit(given: Mapping[str, str], limits: Limits) -> int:
    text = given.get("limit")
    if text is None:
        return limits.page_default
    if not text.isdecimal() or len(text) > 6 or int(text) < 1:
        raise ListQueryInvalid("limit must be a number from 1 on")
    return min(int(text), limits.page_most)


def _split(text: str) -> tuple[str, ...]:
    return tuple(each for each in text.split(",") if each)
