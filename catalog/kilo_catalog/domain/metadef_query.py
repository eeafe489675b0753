"""Reads the query strings of listings of metadata definitions, and takes pages of what is there."""

from collections.abc import Sequence

from msgspec import Struct

from kilo_catalog.domain.limits import Limits
from kilo_catalog.domain.metadef import I, MetadefVisibility, NamespaceQuery
from kilo_catalog.errors import ListQueryInvalid

Pairs = Sequence[tuple[str, str]]
NAMESPACE_SORT_KEYS = ("created_at", "updated_at", "namespace")
ITEM_SORT_KEYS = ("created_at", "updated_at", "name")
_VISIBILITIES = tuple(each.value for each in MetadefVisibility)


class ItemQuery(Struct, frozen=True):
    """One page of the objects or the tags in a namespace."""

    sort: str
    descending: bool
    limit: int | None
    marker: str | None


def parse_namespaces(
    pairs: Pairs, limits: Limits, project: str | None, *, is_admin: bool
) -> NamespaceQuery:
    """The namespaces that a query string asks for; what it does not know it passes over.

    Raises:
        ListQueryInvalid: a part of it is malformed.
    """
    given = _checked(pairs)
    visibility = given.get("visibility")
    if visibility is not None:
        _choice("visibility", visibility, _VISIBILITIES)
    types = [each.strip() for each in given.get("resource_types", "").split(",")]
    limit = _limit(given)
    return NamespaceQuery(
        project=project,
        sees_all=is_admin,
        visibility=None if visibility is None else MetadefVisibility(visibility),
        resource_types=tuple(sorted({each for each in types if each})),
        sort=_choice("sort_key", given.get("sort_key", "created_at"), NAMESPACE_SORT_KEYS),
        descending=_descending(given),
        limit=limits.page_default if limit is None else min(limit, limits.page_most),
        marker=given.get("marker"),
    )


def parse_items(pairs: Pairs) -> ItemQuery:
    """The objects or tags that a query string asks for. Raises as `parse_namespaces`."""
    given = _checked(pairs)
    return ItemQuery(
        _choice("sort_key", given.get("sort_key", "created_at"), ITEM_SORT_KEYS),
        _descending(given),
        _limit(given),
        given.get("marker"),
    )


def take_page(items: Sequence[I], query: ItemQuery) -> tuple[tuple[I, ...], bool]:
    """The items of the page, and whether there are more after it.

    Raises:
        ListQueryInvalid: the marker is none of them.
    """
    ordered = sorted(
        items,
        key=lambda item: (getattr(item, query.sort), item.name),
        reverse=query.descending,
    )
    if query.marker is not None:
        names = [item.name for item in ordered]
        if query.marker not in names:
            raise ListQueryInvalid("The marker is not the name of an item in this list")
        ordered = ordered[names.index(query.marker) + 1 :]
    if query.limit is None:
        return tuple(ordered), False
    return tuple(ordered[: query.limit]), 0 < query.limit < len(ordered)


def _checked(pairs: Pairs) -> dict[str, str]:
    for name, value in pairs:
        if "\0" in name or "\0" in value:
            raise ListQueryInvalid("A query parameter must not hold a NUL character")
    return dict(pairs)


def _limit(given: dict[str, str]) -> int | None:
    text = given.get("limit")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise ListQueryInvalid("limit must be a whole number, not negative", value=text[:64])
    return int(text)


def _descending(given: dict[str, str]) -> bool:
    return _choice("sort_dir", given.get("sort_dir", "desc"), ("asc", "desc")) == "desc"


def _choice(name: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise ListQueryInvalid(f"{name} must be one of {', '.join(allowed)}", value=value[:64])
    return value
