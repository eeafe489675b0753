"""A page of artifacts as one statement."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from kilo_catalog.db.artifact_tables import artifact_values, artifact_words, artifacts
from kilo_catalog.domain.artifact import Artifact, ArtifactVisibility
from kilo_catalog.domain.artifact_query import ArtifactQuery, Condition
from kilo_catalog.domain.artifact_version import sort_key

_rows = artifacts.c
_values = artifact_values.c
_words = artifact_words.c
_OPS: Mapping[str, Callable[[Any, tuple[Any, ...]], sa.ColumnElement[bool]]] = {
    "eq": lambda column, values: column == values[0],
    "neq": lambda column, values: column != values[0],
    "in": lambda column, values: column.in_(values),
    "gt": lambda column, values: column > values[0],
    "gte": lambda column, values: column >= values[0],
    "lt": lambda column, values: column < values[0],
    "lte": lambda column, values: column <= values[0],
    "like": lambda column, values: column.like(_escaped(values[0]), escape="\\"),
}
TAGS = "tags"


def page_statement(
    query: ArtifactQuery, marker: Artifact | None, among: Collection[str] | None
) -> sa.Select[Any]:
    """The artifacts after `marker` that meet the query, without its limit. `among`: the ids of all
    that can meet it, where they are known to be few."""
    # Few are taken by their ids before all else: an index in the right order would only mislead.
    table: Any = artifacts
    if among is not None:
        few = sa.select(artifacts).where(_rows.id.in_(among)).limit(len(among))
        table = few.subquery("few")
    columns = table.c
    conditions = _conditions(query, columns)
    if query.latest:
        conditions.append(~_has_newer(query, columns))
    column = columns["version_key" if query.sort == "version" else query.sort]
    if marker is not None:
        conditions.append(_after(query, columns, column, marker))
    order = [each.desc() if query.descending else each.asc() for each in (column, columns.id)]
    if query.sort == "activated_at":
        # NULL is less than every value, on each database.
        is_null = column.is_(None)
        order.insert(0, is_null.asc() if query.descending else is_null.desc())
    return sa.select(table).where(*conditions).order_by(*order)


def probes(query: ArtifactQuery) -> Iterator[sa.Select[Any]]:
    """For each condition that may leave few artifacts, the ids that it leaves.

    A page of what is common is found soonest along its order, and of what is rare by that itself;
    no database can tell which it is. Whoever asks these for a few rows more than are few, can.
    """
    for condition in query.conditions:
        if condition.op not in ("eq", "in"):
            continue
        if condition.own and isinstance(condition.values[0], str):
            yield _ids_with(condition.field, condition.values)
        elif condition.field == "name":
            typed = () if query.type_name is None else (_rows.type_name == query.type_name,)
            yield sa.select(_rows.id).where(_rows.name.in_(condition.values), *typed)
    for tag in query.tags:
        yield _ids_with(TAGS, (tag,))
    if query.any_tags:
        yield _ids_with(TAGS, query.any_tags)
    for word in query.words:
        yield sa.select(_words.artifact_id).where(
            _words.word >= word, _words.word < word + "\U0010ffff"
        )


def _ids_with(field: str, texts: Sequence[Any]) -> sa.Select[Any]:
    return sa.select(_values.artifact_id).where(_values.field == field, _values.text.in_(texts))


def _conditions(query: ArtifactQuery, columns: Any) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if not query.sees_all:
        reach = columns.visibility == ArtifactVisibility.PUBLIC.value
        found.append(reach if query.project is None else reach | (columns.owner == query.project))
    if query.type_name is not None:
        found.append(columns.type_name == query.type_name)
    found += [_holds(each, columns) for each in query.conditions]
    found += [_has_tag(columns, (tag,)) for tag in query.tags]
    if query.any_tags:
        found.append(_has_tag(columns, query.any_tags))
    found += [_has_word(columns, word) for word in query.words]
    return found


def _has_newer(query: ArtifactQuery, columns: Any) -> sa.ColumnElement[bool]:
    """Whether a greater version of the same name meets the query as well."""
    other = artifacts.alias()
    same = (
        other.c.type_name == columns.type_name,
        other.c.name == columns.name,
        sa.func.coalesce(other.c.owner, "") == sa.func.coalesce(columns.owner, ""),
        other.c.version_key > columns.version_key,
    )
    return sa.exists().where(*same, *_conditions(query, other.c))


def _holds(condition: Condition, columns: Any) -> sa.ColumnElement[bool]:
    compare = _OPS[condition.op]
    if not condition.own:
        name = "version_key" if condition.field == "version" else condition.field
        return compare(columns[name], condition.values)
    is_number = isinstance(condition.values[0], float)
    column = _values.number if is_number else _values.text
    return sa.exists().where(
        _values.artifact_id == columns.id,
        _values.field == condition.field,
        compare(column, condition.values),
    )


def _has_tag(columns: Any, tags: tuple[str, ...]) -> sa.ColumnElement[bool]:
    return sa.exists().where(
        _values.artifact_id == columns.id, _values.field == TAGS, _values.text.in_(tags)
    )


def _has_word(columns: Any, word: str) -> sa.ColumnElement[bool]:
    # A range finds words that begin so by the index, whatever the database thinks of LIKE.
    return sa.exists().where(
        _words.artifact_id == columns.id,
        _words.word >= word,
        _words.word < word + "\U0010ffff",
    )


def _after(
    query: ArtifactQuery, columns: Any, column: sa.ColumnElement[Any], marker: Artifact
) -> sa.ColumnElement[bool]:
    value = getattr(marker, query.sort)
    if query.sort == "version":
        value = sort_key(value)
    past_id = columns.id < marker.id if query.descending else columns.id > marker.id
    if value is None:
        same = sa.and_(column.is_(None), past_id)
        return same if query.descending else sa.or_(column.is_not(None), same)
    past = column < value if query.descending else column > value
    found = sa.or_(past, sa.and_(column == value, past_id))
    return sa.or_(found, column.is_(None)) if query.descending else found


def _escaped(pattern: object) -> str:
    return str(pattern).replace("\\", "\\\\").replace("_", "\\_")
