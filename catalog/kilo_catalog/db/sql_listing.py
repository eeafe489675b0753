"""A listing as one SQL statement, with keyset pagination.

What the caller reaches are branches: its own images, what others show to all, and what they share
with it. Each branch follows an index of its own and stops after a page; the outer query merges
them. Thus a page costs the same however many images there are. A statement is built once per
shape; values come as parameters.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from kilo_catalog.db.models import image_members, image_properties, image_tags, images
from kilo_catalog.domain.image import Image, ImageStatus, Visibility
from kilo_catalog.domain.listing import ListQuery, SortKey, Test
from kilo_catalog.domain.member import MemberStatus

Clause = sa.ColumnElement[bool]
Columns = Mapping[str, sa.ColumnElement[Any]]
_OWN: Columns = {}
_MEMBERS: Columns = {
    "created_at": image_members.c.image_created_at,
    "id": image_members.c.image_id,
}
"""What the members' index repeats of their images: sorting by it costs no look at the images."""
_NEVER_NULL = frozenset({"id", "status", "created_at", "updated_at"})


class _Shape(Struct, frozen=True):
    """What a statement's text depends on."""

    has_owner: bool
    visibilities: frozenset[Visibility]
    only: Visibility | None
    memberships: frozenset[MemberStatus]
    tests: tuple[tuple[str, Test], ...]
    sort: tuple[SortKey, ...]
    has_marker: bool


def page_statement(
    query: ListQuery, marker: Image | None
) -> tuple[sa.Select[tuple[Any, ...]], dict[str, Any]]:
    """Selects one image more than the page holds: so one knows whether there is a next page.

    The statement and its parameters.
    """
    shape = _Shape(
        query.reach.owner is not None,
        query.reach.visibilities,
        query.reach.only,
        query.reach.memberships,
        # A property's name is a parameter: the statement is the same for all.
        tuple(
            ("" if each.test is Test.PROPERTY else each.attribute, each.test)
            for each in query.conditions
        ),
        query.sort,
        marker is not None,
    )
    return _statement(shape), _parameters(query, marker)


def _parameters(query: ListQuery, marker: Image | None) -> dict[str, Any]:
    values: dict[str, Any] = {"page": query.limit + 1}
    if query.reach.owner is not None:
        values["owner"] = query.reach.owner
    for number, each in enumerate(query.conditions):
        name, operand = f"c{number}", each.operand
        if each.test is Test.IN:
            operand = [one.value if isinstance(one, ImageStatus) else one for one in operand]
        elif each.test is Test.OUTSIDE:
            operand, values[f"{name}_end"] = operand
        elif each.test is Test.PROPERTY:
            values[f"{name}_name"] = each.attribute
        values[name] = operand
    if marker is not None:
        for number, key in enumerate(query.sort):
            values[f"m{number}"] = _value(marker, key)
    return values


@lru_cache(maxsize=256)
def _statement(shape: _Shape) -> sa.Select[tuple[Any, ...]]:
    common: list[Clause] = [images.c.deleted.is_(sa.false())]
    common += [_condition(f"c{number}", *test) for number, test in enumerate(shape.tests)]
    if shape.only is not None:
        common.append(images.c.visibility == shape.only.value)
    after = _after(shape.sort, _OWN) if shape.has_marker else []
    order = [_order(key, _OWN) for key in shape.sort]
    page = sa.bindparam("page", type_=sa.Integer)
    branches = [
        sa.select(images.c.id).where(reach, *common, *after).order_by(*order).limit(page)
        for reach in _branches(shape)
    ]
    branches += [
        _shared(shape, status).where(*common).limit(page)
        for status in sorted(shape.memberships, key=lambda each: each.value)
    ]
    if len(branches) == 1:
        chosen: Any = branches[0].subquery()
    else:
        chosen = sa.union(*(sa.select(each.subquery().c.id) for each in branches)).subquery()
    joined = sa.select(images).join(chosen, chosen.c.id == images.c.id)
    return joined.order_by(*order).limit(page)


def _branches(shape: _Shape) -> list[Clause]:
    """Clauses that together are the reach.

    They overlap, and the union drops what is found twice: to exclude one's own images from those
    that others show, the database would have to pass over all of them.
    """
    if shape.visibilities == frozenset(Visibility):
        return [sa.true()]
    found: list[Clause] = [images.c.owner == sa.bindparam("owner")] if shape.has_owner else []
    shown = sorted(each.value for each in shape.visibilities)
    found += [images.c.visibility == each for each in shown]
    return found or [sa.false()]


def _shared(shape: _Shape, status: MemberStatus) -> sa.Select[tuple[Any, ...]]:
    """The images that the caller is a member of, in the order of the members' index."""
    return (
        sa.select(images.c.id)
        .select_from(image_members.join(images, images.c.id == image_members.c.image_id))
        .where(
            image_members.c.project_id == sa.bindparam("owner"),
            image_members.c.status == status.value,
            images.c.visibility == Visibility.SHARED.value,
            *(_after(shape.sort, _MEMBERS) if shape.has_marker else ()),
        )
        .order_by(*(_order(key, _MEMBERS) for key in shape.sort))
    )


def _condition(name: str, attribute: str, test: Test) -> Clause:
    operand: Any = sa.bindparam(name, expanding=test is Test.IN)
    if test is Test.TAGGED:
        return images.c.id.in_(sa.select(image_tags.c.image_id).where(image_tags.c.tag == operand))
    if test is Test.PROPERTY:
        return images.c.id.in_(
            sa.select(image_properties.c.image_id).where(
                image_properties.c.name == sa.bindparam(f"{name}_name"),
                image_properties.c.value == operand,
            )
        )
    column: sa.ColumnElement[Any] = images.c[attribute]
    if test is Test.IN:
        return column.in_(operand)
    if test is Test.OUTSIDE:
        return sa.or_(column < operand, column >= sa.bindparam(f"{name}_end"))
    bound: Clause = column >= operand if test is Test.AT_LEAST else column < operand
    return bound


def _sortable(key: SortKey, columns: Columns) -> sa.ColumnElement[Any]:
    """The column, or what stands for its nulls: databases disagree on where nulls go."""
    column = columns.get(key.attribute, images.c[key.attribute])
    if key.attribute in _NEVER_NULL:
        return column
    return sa.func.coalesce(column, sa.literal_column("-1" if key.attribute == "size" else "''"))


def _order(key: SortKey, columns: Columns) -> sa.ColumnElement[Any]:
    column = _sortable(key, columns)
    return column.desc() if key.descending else column.asc()


def _after(sort: tuple[SortKey, ...], columns: Columns) -> list[Clause]:
    """What comes after the marker: later by the first key, or equal in it and later by the next…

    The plain bound on the first key is implied; it lets the database start inside its index.
    """
    later: list[Clause] = []
    equal: list[Clause] = []
    for number, key in enumerate(sort):
        column = _sortable(key, columns)
        value: Any = sa.bindparam(f"m{number}")
        beyond: Clause = column < value if key.descending else column > value
        later.append(sa.and_(*equal, beyond))
        equal.append(column == value)
    first = _sortable(sort[0], columns)
    start: Any = sa.bindparam("m0")
    bound: Clause = first <= start if sort[0].descending else first >= start
    return [bound, sa.or_(*later)]


def _value(image: Image, key: SortKey) -> Any:
    found = getattr(image, key.attribute)
    if found is None:
        return -1 if key.attribute == "size" else ""
    return found.value if isinstance(found, ImageStatus) else found
