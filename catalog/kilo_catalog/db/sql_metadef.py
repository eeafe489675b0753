"""Metadata definitions in an SQL database."""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from kilo_catalog.db.models import metadef_associations, metadef_namespaces, metadef_resource_types
from kilo_catalog.domain.metadef import (
    Association,
    MetadefObject,
    MetadefProperty,
    MetadefTag,
    MetadefVisibility,
    Namespace,
    NamespacePage,
    NamespaceQuery,
    ResourceType,
    is_visible,
)
from kilo_catalog.errors import ListQueryInvalid, MetadefChanged, MetadefExists, MetadefNotFound

_rows = metadef_namespaces.c
_VISIBILITIES = {each.value: each for each in MetadefVisibility}
_PLAIN = (
    "id", "name", "owner", "created_at", "updated_at", "display_name", "description", "protected",
    "version",
)  # fmt: skip
_INSIDE: dict[str, msgspec.json.Decoder[Any]] = {
    "associations": msgspec.json.Decoder(tuple[Association, ...]),
    "objects": msgspec.json.Decoder(tuple[MetadefObject, ...]),
    "properties": msgspec.json.Decoder(tuple[MetadefProperty, ...]),
    "tags": msgspec.json.Decoder(tuple[MetadefTag, ...]),
}
_LISTED = (*_PLAIN, "visibility", "associations")
_ALL = (*_PLAIN, "visibility", *_INSIDE)


class SqlMetadefs:
    """The namespaces, inside one transaction; a writer takes hold of what it reads."""

    def __init__(self, connection: sa.Connection, *, locks: bool) -> None:
        self._connection = connection
        self._locks = locks

    def add(self, namespace: Namespace) -> None:
        try:
            self._connection.execute(sa.insert(metadef_namespaces), _to_row(namespace))
        except sa.exc.IntegrityError:
            raise MetadefExists("namespace", namespace.name) from None
        self._index(namespace)

    def get(self, name: str) -> Namespace:
        statement = sa.select(*(_rows[each] for each in _ALL)).where(_rows.name == name)
        if self._locks:
            statement = statement.with_for_update()  # nothing on SQLite: it has one writer anyway
        row = self._connection.execute(statement).first()
        if row is None or row.name != name:  # MariaDB does not see spaces at the end
            raise MetadefNotFound("namespace", name)
        return _to_namespace(row, _INSIDE)

    def update(self, namespace: Namespace) -> Namespace:
        kept = msgspec.structs.replace(namespace, version=namespace.version + 1)
        statement = sa.update(metadef_namespaces).where(
            _rows.id == namespace.id, _rows.version == namespace.version
        )
        try:
            matched = self._connection.execute(statement, _to_row(kept))
        except sa.exc.IntegrityError:
            raise MetadefExists("namespace", namespace.name) from None
        if matched.rowcount != 1:
            raise MetadefChanged("The namespace was changed by another request; try again")
        self._forget_index(namespace)
        self._index(kept)
        return kept

    def remove(self, namespace: Namespace) -> None:
        self._forget_index(namespace)
        self._connection.execute(sa.delete(metadef_namespaces).where(_rows.id == namespace.id))

    def list_page(self, query: NamespaceQuery) -> NamespacePage:
        if query.limit == 0:
            return NamespacePage((), has_more=False)
        statement = sa.select(*(_rows[each] for each in _LISTED)).where(*_conditions(query))
        column = _rows["name" if query.sort == "namespace" else query.sort]
        if query.marker is not None:
            statement = statement.where(_after(query, column, self._marker(query)))
        order = [each.desc() if query.descending else each.asc() for each in (column, _rows.name)]
        found = self._connection.execute(statement.order_by(*order).limit(query.limit + 1))
        inside = {"associations": _INSIDE["associations"]}
        page = tuple(_to_namespace(row, inside) for row in found)
        return NamespacePage(page[: query.limit], len(page) > query.limit)

    def resource_types(self) -> Sequence[ResourceType]:
        statement = sa.select(metadef_resource_types).order_by(metadef_resource_types.c.name)
        return [
            ResourceType(row.name, row.created_at, row.updated_at)
            for row in self._connection.execute(statement)
        ]

    def _marker(self, query: NamespaceQuery) -> Namespace:
        statement = sa.select(*(_rows[each] for each in _LISTED)).where(_rows.name == query.marker)
        row = self._connection.execute(statement).first()
        marker = (
            None if row is None else _to_namespace(row, {"associations": _INSIDE["associations"]})
        )
        if marker is None or not is_visible(marker, query.project, is_admin=query.sees_all):
            raise ListQueryInvalid("The marker is not the name of a namespace in this list")
        return marker

    def _index(self, namespace: Namespace) -> None:
        """Keep the search table and the resource types in step with the associations."""
        names = [each.name for each in namespace.associations]
        if not names:
            return
        self._connection.execute(
            sa.insert(metadef_associations),
            [{"namespace_id": namespace.id, "resource_type": name} for name in names],
        )
        types = metadef_resource_types.c
        known = set(self._connection.scalars(sa.select(types.name).where(types.name.in_(names))))
        new = [
            {"name": each.name, "created_at": each.created_at, "updated_at": each.created_at}
            for each in namespace.associations
            if each.name not in known
        ]
        try:
            if new:
                self._connection.execute(sa.insert(metadef_resource_types), new)
        except sa.exc.IntegrityError:
            raise MetadefChanged(
                "The resource type was made by another request; try again"
            ) from None

    def _forget_index(self, namespace: Namespace) -> None:
        self._connection.execute(
            sa.delete(metadef_associations).where(
                metadef_associations.c.namespace_id == namespace.id
            )
        )


def _conditions(query: NamespaceQuery) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if not query.sees_all:
        reach = _rows.visibility == MetadefVisibility.PUBLIC.value
        found.append(reach if query.project is None else reach | (_rows.owner == query.project))
    if query.visibility is not None:
        found.append(_rows.visibility == query.visibility.value)
    if query.resource_types:
        wanted = metadef_associations.c.resource_type.in_(query.resource_types)
        found.append(_rows.id.in_(sa.select(metadef_associations.c.namespace_id).where(wanted)))
    return found


def _after(
    query: NamespaceQuery, column: sa.Column[Any], marker: Namespace
) -> sa.ColumnElement[bool]:
    here = sa.tuple_(column, _rows.name)
    there = sa.tuple_(
        sa.bindparam(None, getattr(marker, column.name), type_=column.type),
        sa.bindparam(None, marker.name, type_=_rows.name.type),
    )
    after: sa.ColumnElement[bool] = here < there if query.descending else here > there
    return after


def _to_row(namespace: Namespace) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(namespace, name) for name in _PLAIN}
    row["visibility"] = namespace.visibility.value
    for name in _INSIDE:
        row[name] = msgspec.json.encode(getattr(namespace, name)).decode()
    return row


def _to_namespace(row: sa.Row[Any], inside: dict[str, msgspec.json.Decoder[Any]]) -> Namespace:
    values: dict[str, Any] = {name: getattr(row, name) for name in _PLAIN}
    values["visibility"] = _VISIBILITIES[row.visibility]
    for name, decoder in inside.items():
        values[name] = decoder.decode(getattr(row, name))
    return Namespace(**values)
