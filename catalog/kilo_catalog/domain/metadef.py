"""Metadata definitions: namespaces that say which properties things may have, and what they mean.

A namespace is one record with all that is in it. Values and rules only; bodies are read in
`metadef_bodies.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Protocol, TypeVar

from msgspec import Struct, structs

from kilo_catalog.domain.limits import Limits
from kilo_catalog.errors import LimitExceeded, MetadefExists, MetadefNotFound, MetadefProtected

Schema = Mapping[str, Any]
"""What a property may hold, in the words of JSON Schema."""


class MetadefVisibility(Enum):
    """Who may see a namespace besides its owner's project."""

    PUBLIC = "public"
    """Everybody."""
    PRIVATE = "private"
    """Nobody."""


class MetadefProperty(Struct, frozen=True, kw_only=True):
    """One property that a thing may have."""

    name: str
    schema: Schema
    created_at: datetime
    updated_at: datetime


class MetadefObject(Struct, frozen=True, kw_only=True):
    """Properties that belong together, under one name."""

    name: str
    description: str | None = None
    required: tuple[str, ...] = ()
    properties: Mapping[str, Schema] = {}
    created_at: datetime
    updated_at: datetime


class MetadefTag(Struct, frozen=True, kw_only=True):
    """A word that things may be tagged with."""

    name: str
    created_at: datetime
    updated_at: datetime


class Association(Struct, frozen=True, kw_only=True):
    """A type of resources that a namespace is for."""

    name: str
    prefix: str | None = None
    """What stands before the name of each property on such a resource."""
    properties_target: str | None = None
    """Which of several sets of key and value on such a resource is meant."""
    created_at: datetime
    updated_at: datetime


class ResourceType(Struct, frozen=True):
    """A type of resources that some namespace is, or was, for."""

    name: str
    created_at: datetime
    updated_at: datetime


class Namespace(Struct, frozen=True, kw_only=True):
    """One namespace with all that is in it."""

    id: str
    name: str
    owner: str | None
    created_at: datetime
    updated_at: datetime
    display_name: str | None = None
    description: str | None = None
    visibility: MetadefVisibility = MetadefVisibility.PRIVATE
    protected: bool = False
    associations: tuple[Association, ...] = ()
    objects: tuple[MetadefObject, ...] = ()
    properties: tuple[MetadefProperty, ...] = ()
    tags: tuple[MetadefTag, ...] = ()
    version: int = 0
    """Counts the changes of the record; a change names the version it was made from."""


class NamespaceQuery(Struct, frozen=True, kw_only=True):
    """One page of namespaces."""

    project: str | None
    """Namespaces of this project are in reach, and public ones."""
    sees_all: bool = False
    """All of them are in reach."""
    visibility: MetadefVisibility | None = None
    resource_types: tuple[str, ...] = ()
    """Only namespaces for one of these; empty: for any or none."""
    sort: str = "created_at"
    descending: bool = True
    limit: int = 25
    marker: str | None = None
    """The name of the last namespace of the page before."""


class NamespacePage(Struct, frozen=True):
    """What a listing found: namespaces with their associations, without what else is in them."""

    namespaces: tuple[Namespace, ...]
    has_more: bool


class Item(Protocol):
    """What all things in a namespace have in common."""

    @property
    def name(self) -> str: ...

    @property
    def created_at(self) -> datetime: ...

    @property
    def updated_at(self) -> datetime: ...


I = TypeVar("I", bound=Item)  # noqa: E741 - an item


def is_visible(namespace: Namespace, project: str | None, *, is_admin: bool) -> bool:
    """Whether a project may know of a namespace."""
    return (
        is_admin
        or namespace.visibility is MetadefVisibility.PUBLIC
        or (project is not None and namespace.owner == project)
    )


def check_unprotected(namespace: Namespace) -> None:
    """Return if something may be taken away from a namespace.

    Raises:
        MetadefProtected: it may not.
    """
    if namespace.protected:
        raise MetadefProtected(
            f"Metadata definition namespace {namespace.name} is protected and cannot be deleted, "
            "nor anything in it.",
            namespace=namespace.name,
        )


def find(items: Sequence[I], what: str, name: str) -> I:
    """The item of that name.

    Raises:
        MetadefNotFound: there is none.
    """
    for item in items:
        if item.name == name:
            return item
    raise MetadefNotFound(what, name)


def added(items: Sequence[I], what: str, new: I) -> tuple[I, ...]:
    """The items with one more.

    Raises:
        MetadefExists: there is one of that name.
    """
    if any(item.name == new.name for item in items):
        raise MetadefExists(what, new.name)
    return (*items, new)


def replaced(items: Sequence[I], what: str, name: str, new: I) -> tuple[I, ...]:
    """The items with a new one in the place of `name`.

    Raises:
        MetadefNotFound: there is nothing in that place.
        MetadefExists: its new name is another's.
    """
    find(items, what, name)
    if new.name != name and any(item.name == new.name for item in items):
        raise MetadefExists(what, new.name)
    return tuple(new if item.name == name else item for item in items)


def removed(items: Sequence[I], what: str, name: str) -> tuple[I, ...]:
    """The items without one.

    Raises:
        MetadefNotFound: there is none of that name.
    """
    find(items, what, name)
    return tuple(item for item in items if item.name != name)


def check_size(namespace: Namespace, limits: Limits, measure: Callable[[Namespace], int]) -> None:
    """Return if a namespace is not too big; `measure` says how many bytes it has when written.

    Raises:
        LimitExceeded: it is.
    """
    for what in ("associations", "objects", "properties", "tags"):
        count = len(getattr(namespace, what))
        if count > limits.metadef_items:
            raise _too_big(what, count, limits.metadef_items)
    size = measure(namespace)
    if size > limits.metadef_size:
        raise _too_big("bytes of a metadata definition namespace", size, limits.metadef_size)


def prefixed(namespace: Namespace, resource_type: str) -> Namespace:
    """A namespace whose properties are named as on a type of resources it is for."""
    found = [each.prefix for each in namespace.associations if each.name == resource_type]
    if not found or not found[0]:
        return namespace
    prefix = found[0]
    return structs.replace(
        namespace,
        properties=tuple(
            structs.replace(each, name=prefix + each.name) for each in namespace.properties
        ),
        objects=tuple(
            structs.replace(
                each,
                required=tuple(prefix + name for name in each.required),
                properties={prefix + name: schema for name, schema in each.properties.items()},
            )
            for each in namespace.objects
        ),
    )


def _too_big(what: str, count: int, limit: int) -> LimitExceeded:
    return LimitExceeded(
        f"The limit on {what} has been exceeded: {count} of at most {limit}",
        what=what,
        count=count,
        limit=limit,
    )
