"""Metadata definitions in memory."""

from collections.abc import Sequence
from typing import Any

from msgspec import structs

from kilo_catalog.domain.metadef import (
    Namespace,
    NamespacePage,
    NamespaceQuery,
    ResourceType,
    is_visible,
)
from kilo_catalog.errors import ListQueryInvalid, MetadefChanged, MetadefExists, MetadefNotFound


class MemoryMetadefs:
    """The namespaces of one transaction, by their ids."""

    def __init__(self, rows: dict[str, Namespace], types: dict[str, ResourceType]) -> None:
        self.rows = rows
        self.types = types

    def copy(self) -> "MemoryMetadefs":
        """The same, to be changed without effect on these."""
        return MemoryMetadefs(dict(self.rows), dict(self.types))

    def add(self, namespace: Namespace) -> None:
        self._check_name(namespace)
        self.rows[namespace.id] = namespace
        self._remember_types(namespace)

    def get(self, name: str) -> Namespace:
        for namespace in self.rows.values():
            if namespace.name == name:
                return namespace
        raise MetadefNotFound("namespace", name)

    def update(self, namespace: Namespace) -> Namespace:
        present = self.rows.get(namespace.id)
        if present is None or present.version != namespace.version:
            raise MetadefChanged("The namespace was changed by another request; try again")
        self._check_name(namespace)
        kept = structs.replace(namespace, version=namespace.version + 1)
        self.rows[namespace.id] = kept
        self._remember_types(kept)
        return kept

    def remove(self, namespace: Namespace) -> None:
        self.rows.pop(namespace.id, None)

    def list_page(self, query: NamespaceQuery) -> NamespacePage:
        found = [each for each in self.rows.values() if _is_listed(each, query)]

        def place(namespace: Namespace) -> tuple[Any, str]:
            key = "name" if query.sort == "namespace" else query.sort
            return getattr(namespace, key), namespace.name

        found.sort(key=place, reverse=query.descending)
        if query.marker is not None:
            marker = next((each for each in self.rows.values() if each.name == query.marker), None)
            if marker is None or not is_visible(marker, query.project, is_admin=query.sees_all):
                raise ListQueryInvalid("The marker is not the name of a namespace in this list")
            limit = place(marker)
            found = [
                each
                for each in found
                if (place(each) < limit if query.descending else place(each) > limit)
            ]
        page = tuple(
            structs.replace(each, objects=(), properties=(), tags=())
            for each in found[: query.limit]
        )
        return NamespacePage(page, 0 < query.limit < len(found))

    def resource_types(self) -> Sequence[ResourceType]:
        return sorted(self.types.values(), key=lambda each: each.name)

    def _check_name(self, namespace: Namespace) -> None:
        for other in self.rows.values():
            if other.name == namespace.name and other.id != namespace.id:
                raise MetadefExists("namespace", namespace.name)

    def _remember_types(self, namespace: Namespace) -> None:
        for each in namespace.associations:
            known = ResourceType(each.name, each.created_at, each.created_at)
            self.types.setdefault(each.name, known)


def _is_listed(namespace: Namespace, query: NamespaceQuery) -> bool:
    types = {each.name for each in namespace.associations}
    return (
        is_visible(namespace, query.project, is_admin=query.sees_all)
        and query.visibility in (None, namespace.visibility)
        and (not query.resource_types or not types.isdisjoint(query.resource_types))
    )
