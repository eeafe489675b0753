"""A listing as one SQL statement, with keyset pagination.

What the caller reaches are two branches, its own images and what others show. Each branch follows
an index of its own and stops after a page; the outer query merges the two. Thus a page costs the
same however many images there are.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from kilo_catalog.db.models import image_properties, image_tags, images
from kilo_catalog.domain.image import Image, ImageStatus, Visibility
from kilo_catalog.domain.listing import Condition, ListQuery, Reach, SortKey, Test

Clause = sa.ColumnElement[bool]
_NEVER_NULL = frozenset({"id", "status", "created_at", "updated_at"})


def page_statement(query: ListQuery, marker: Image | None) -> sa.Select[tuple[Any, ...]]:
    """Selects one image more than the page holds: so one knows whether there is a next page."""
    common = [images.c.deleted.is_(sa.false()), *(_condition(each) for each in query.conditions)]
    if query.reach.only is not None:
        common.append(images.c.visibility == query.reach.only.value)
    if marker is not None:
        common += _after(marker, query.sort)
    order = [_order(key) for key in query.sort]
    branches = [
        sa.select(images.c.id).where(reach, *common).order_by(*order).limit(query.limit + 1)
        for reach in _branches(query.reach)
    ]
    if len(branches) == 1:
        chosen: Any = branches[0].subquery()
    else:
        parts = [sa.select(branch.subquery().c.id) for branch in branches]
        chosen = sa.union_all(*parts).subquery()
    return (
        sa.select(images)
        .join(chosen, chosen.c.id == images.c.id)
        .order_by(*order)
        .limit(query.limit + 1)
    )


def _branches(reach: Reach) -> list[Clause]:
    """Clauses that exclude one another and together are the reach."""
    if reach.visibilities == frozenset(Visibility):
        return [sa.true()]
    own = images.c.owner == reach.owner
    others = sa.or_(images.c.owner != reach.owner, images.c.owner.is_(None))
    found: list[Clause] = [] if reach.owner is None else [own]
    for visibility in sorted(reach.visibilities, key=lambda each: each.value):
        shown = images.c.visibility == visibility.value
        found.append(shown if reach.owner is None else sa.and_(shown, others))
    return found or [sa.false()]


def _condition(condition: Condition) -> Clause:
    operand = condition.operand
    if condition.test is Test.TAGGED:
        return images.c.id.in_(sa.select(image_tags.c.image_id).where(image_tags.c.tag == operand))
    if condition.test is Test.PROPERTY:
        return images.c.id.in_(
            sa.select(image_properties.c.image_id).where(
                image_properties.c.name == condition.attribute,
                image_properties.c.value == operand,
            )
        )
    column: sa.ColumnElement[Any] = images.c[condition.attribute]
    if condition.test is Test.IN:
        return _is_in(column, operand)
    if condition.test is Test.OUTSIDE:
        return sa.or_(column < operand[0], column >= operand[1])
    bound: Clause = column >= operand if condition.test is Test.AT_LEAST else column < operand
    return bound


def _is_in(column: sa.ColumnElement[Any], operand: Sequence[Any]) -> Clause:
    values = [each.value if isinstance(each, ImageStatus) else each for each in operand]
    if len(values) == 1 and isinstance(values[0], bool):
        return column.is_(sa.true() if values[0] else sa.false())
    return column.in_(values)


def _sortable(key: SortKey) -> sa.ColumnElement[Any]:
    """The column, or what stands for its nulls: databases disagree on where nulls go."""
    column: sa.ColumnElement[Any] = images.c[key.attribute]
    if key.attribute in _NEVER_NULL:
        return column
    return sa.func.coalesce(column, -1 if key.attribute == "size" else "")


def _order(key: SortKey) -> sa.ColumnElement[Any]:
    return _sortable(key).desc() if key.descending else _sortable(key).asc()


def _after(marker: Image, sort: Sequence[SortKey]) -> list[Clause]:
    """What comes after the marker: later by the first key, or equal in it and later by the next…

    The plain bound on the first key is implied; it lets the database start inside its index.
    """
    later: list[Clause] = []
    equal: list[Clause] = []
    for key in sort:
        column, value = _sortable(key), _value(marker, key)
        beyond = column < value if key.descending else column > value
        later.append(sa.and_(*equal, beyond))
        equal.append(column == value)
    first, start = _sortable(sort[0]), _value(marker, sort[0])
    bound = first <= start if sort[0].descending else first >= start
    return [bound, sa.or_(*later)]


def _value(image: Image, key: SortKey) -> Any:
    found = getattr(image, key.attribute)
    if found is None:
        return -1 if key.attribute == "size" else ""
    return found.value if isinstance(found, ImageStatus) else found
