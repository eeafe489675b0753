"""What a listing asks for, as plain values that every database driver understands.

`listing_query.py` makes them out of the query string.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Any

from msgspec import Struct

from kilo_catalog.domain.image import Image, Visibility
from kilo_catalog.domain.member import MemberStatus

SORT_KEYS = (
    "name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at",
)  # fmt: skip


class Test(Enum):
    """How a condition compares an attribute with its operand."""

    IN = "in"
    """The attribute is one of a tuple of values."""
    AT_LEAST = "at_least"
    BELOW = "below"
    OUTSIDE = "outside"
    """The attribute is not within a half-open range, a tuple of two."""
    TAGGED = "tagged"
    """The image has the tag."""
    PROPERTY = "property"
    """The image has a property (the condition's attribute) of that value."""


class Condition(Struct, frozen=True):
    """One thing that must be true of an image."""

    attribute: str
    test: Test
    operand: Any


class Reach(Struct, frozen=True):
    """Which images the caller may see in a list."""

    owner: str | None
    """Images of this project are in reach, whatever their visibility."""
    visibilities: frozenset[Visibility]
    """Images of others are in reach with these visibilities."""
    only: Visibility | None = None
    """Nothing but this visibility was asked for."""
    memberships: frozenset[MemberStatus] = frozenset()
    """Shared images of others are in reach where `owner` is a member with such a status."""


class SortKey(Struct, frozen=True):
    """One key of the order."""

    attribute: str
    descending: bool = True


_NEWEST_FIRST = (SortKey("created_at"), SortKey("id"))
NOT_HIDDEN = Condition("os_hidden", Test.IN, (False,))
"""What a list has unless it asks for hidden images."""


class ListQuery(Struct, frozen=True):
    """One page of one listing."""

    reach: Reach
    conditions: tuple[Condition, ...] = ()
    sort: tuple[SortKey, ...] = _NEWEST_FIRST
    """Ends with `id`, so that the order is total."""
    limit: int = 25
    marker: str | None = None
    """The id of the last image of the page before."""

    @property
    def is_plain(self) -> bool:
        """Whether it is the default list or a later page of it: a database need not search."""
        return (
            self.sort == _NEWEST_FIRST
            and self.conditions == (NOT_HIDDEN,)
            and self.reach.only is None
        )


class ImagePage(Struct, frozen=True):
    """What a listing found."""

    images: tuple[Image, ...]
    has_more: bool


def in_reach(image: Image, reach: Reach, membership: MemberStatus | None) -> bool:
    """Whether the caller, perhaps a member of the image, may see it in this list."""
    if reach.only is not None and image.visibility is not reach.only:
        return False
    return (
        image.visibility in reach.visibilities
        or (reach.owner is not None and image.owner == reach.owner)
        or (image.visibility is Visibility.SHARED and membership in reach.memberships)
    )


def reach_of(
    project_id: str | None,
    *,
    is_admin: bool,
    visibility: str | None = None,
    member_status: str | None = None,
) -> Reach:
    """What the caller reaches when asking for `visibility` and `member_status`: a value, `all`,
    or None.

    Community images of others are listed only to those who ask for them; images shared with the
    caller when it has accepted them, unless it asks for others.
    """
    only = Visibility(visibility) if visibility not in (None, "all") else None
    if is_admin:
        seen: Iterable[Visibility] = Visibility
    else:
        seen = (Visibility.PUBLIC, Visibility.COMMUNITY)
    asked = visibility in ("all", "community")
    seen = frozenset(each for each in seen if asked or each is not Visibility.COMMUNITY)
    memberships: Iterable[MemberStatus] = ()
    if project_id is not None and not is_admin and only in (None, Visibility.SHARED):
        asked_for = member_status or MemberStatus.ACCEPTED.value
        memberships = (each for each in MemberStatus if asked_for in ("all", each.value))
    return Reach(project_id, seen, only, frozenset(memberships))


def meets(image: Image, condition: Condition) -> bool:
    """Whether a condition is true of an image."""
    operand = condition.operand
    if condition.test is Test.TAGGED:
        return bool(operand in image.tags)
    if condition.test is Test.PROPERTY:
        return bool(image.properties.get(condition.attribute) == operand)
    value = getattr(image, condition.attribute)
    if condition.test is Test.IN:
        return bool(value in operand)
    if value is None:
        return False
    if condition.test is Test.AT_LEAST:
        return bool(value >= operand)
    if condition.test is Test.BELOW:
        return bool(value < operand)
    return bool(value < operand[0] or value >= operand[1])
