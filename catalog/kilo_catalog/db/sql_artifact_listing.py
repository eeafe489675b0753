"""A page of artifacts as one statement."""

from collections.abc import Callable, Mapping
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


def page_statement(query: ArtifactQuery, marker: Artifact | None) -> sa.Select[Any]:
    """The artifacts after `marker` that meet the query, without its limit."""
    conditions = _conditions(query)
    if query.latest:
        conditions.append(~_has_newer(query))
    column = _rows["version_key" if query.sort == "version" else query.sort]
    if marker is not None:
        conditions.append(_after(query, column, marker))
    first = column.is_(None)
    order = [each.desc() if query.descending else each.asc() for each in (column, _rows.id)]
    # NULL is less than every value, on each database.
    ends = [first.asc() if query.descending else first.desc()]
    order = [*(ends if _rows[column.name].nullable else []), *order]
    return sa.select(artifacts).where(*conditions).order_by(*order)


def _conditions(query: ArtifactQuery, table: Any = artifacts) -> list[sa.ColumnElement[bool]]:
    columns = table.c
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


def _has_newer(query: ArtifactQuery) -> sa.ColumnElement[bool]:
    """Whether a greater version of the same name meets the query as well."""
    other = artifacts.alias()
    same = (
        other.c.type_name == _rows.type_name,
        other.c.name == _rows.name,
        sa.func.coalesce(other.c.owner, "") == sa.func.coalesce(_rows.owner, ""),
        other.c.version_key > _rows.version_key,
    )
    return sa.exists().where(*same, *_conditions(query, other))


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
    query: ArtifactQuery, column: sa.ColumnElement[Any], marker: Artifact
) -> sa.ColumnElement[bool]:
    value = getattr(marker, query.sort)
    if query.sort == "version":
        value = sort_key(value)
    past_id = _rows.id < marker.id if query.descending else _rows.id > marker.id
    if value is None:
        same = sa.and_(column.is_(None), past_id)
        return same if query.descending else sa.or_(column.is_not(None), same)
    past = column < value if query.descending else column > value
    found = sa.or_(past, sa.and_(column == value, past_id))
    return sa.or_(found, column.is_(None)) if query.descending else found


def _escaped(pattern: object) -> str:
    return str(pattern).replace("\\", "\\\\").replace("_", "\\_")
