"""A member: a project that an image is shared with, and what it made of the offer."""

from datetime import datetime
from enum import Enum

from msgspec import Struct

from kilo_catalog.domain.image import Image, Visibility
from kilo_catalog.errors import MemberInvalid

PROJECT_LENGTH = 255


class MemberStatus(Enum):
    """What the project made of the offer. It may change its mind at any time."""

    PENDING = "pending"
    """Nothing so far: it sees the image by its id only."""
    ACCEPTED = "accepted"
    """The image is in its lists."""
    REJECTED = "rejected"
    """It does not want the image in its lists."""


class Member(Struct, frozen=True, kw_only=True):
    """One project that one image is shared with."""

    image_id: str
    project_id: str
    status: MemberStatus = MemberStatus.PENDING
    created_at: datetime
    updated_at: datetime


def parse_project(body: object) -> str:
    """The project that the body of a new membership names.

    Raises:
        MemberInvalid: it names none.
    """
    project = body.get("member") if isinstance(body, dict) else None
    if (
        not isinstance(project, str)
        or not 1 <= len(project) <= PROJECT_LENGTH
        or not project.strip()
        or "\0" in project
    ):
        raise MemberInvalid(
            'A new member is named like this: {"member": "PROJECT ID"}, with at most '
            f"{PROJECT_LENGTH} characters"
        )
    return project


def parse_status(body: object) -> MemberStatus:
    """The status that the body of a change names.

    Raises:
        MemberInvalid: it names none that there is.
    """
    status = body.get("status") if isinstance(body, dict) else None
    known = {each.value: each for each in MemberStatus}
    if not isinstance(status, str) or status not in known:
        raise MemberInvalid(
            f'A status is set like this: {{"status": "accepted"}}; it is one of {", ".join(known)}'
        )
    return known[status]


def shows_to_member(image: Image, member: Member | None) -> bool:
    """Whether a membership lets its project know of the image; any status does."""
    return member is not None and image.visibility is Visibility.SHARED
