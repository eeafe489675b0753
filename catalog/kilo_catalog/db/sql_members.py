"""The members of images in an SQL database."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from kilo_catalog.db.models import image_members, images
from kilo_catalog.domain.member import Member, MemberStatus
from kilo_catalog.errors import MemberExists

_STATUSES = {each.value: each for each in MemberStatus}


class SqlMembers:
    """The members, inside one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, member: Member) -> None:
        created = sa.select(images.c.created_at).where(images.c.id == member.image_id)
        values: dict[str, Any] = {
            "image_id": member.image_id,
            "project_id": member.project_id,
            "status": member.status.value,
            "created_at": member.created_at,
            "updated_at": member.updated_at,
            "image_created_at": created.scalar_subquery(),
        }
        try:
            self._connection.execute(sa.insert(image_members).values(values))
        except sa.exc.IntegrityError:
            raise MemberExists(
                f"Image {member.image_id} is shared with {member.project_id} already",
                image_id=member.image_id,
                member_id=member.project_id,
            ) from None

    def find(self, image_id: str, project_id: str) -> Member | None:
        found = self._connection.execute(
            sa.select(image_members).where(*_is(image_id, project_id))
        ).first()
        return _to_member(found) if found is not None else None

    def list(self, image_id: str) -> Sequence[Member]:
        statement = (
            sa.select(image_members)
            .where(image_members.c.image_id == image_id)
            .order_by(image_members.c.created_at, image_members.c.project_id)
        )
        return [_to_member(row) for row in self._connection.execute(statement)]

    def update(self, member: Member) -> None:
        self._connection.execute(
            sa.update(image_members)
            .where(*_is(member.image_id, member.project_id))
            .values(status=member.status.value, updated_at=member.updated_at)
        )

    def remove(self, image_id: str, project_id: str) -> None:
        self._connection.execute(sa.delete(image_members).where(*_is(image_id, project_id)))


def _is(image_id: str, project_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (image_members.c.image_id == image_id, image_members.c.project_id == project_id)


def _to_member(row: sa.Row[Any]) -> Member:
    return Member(
        image_id=row.image_id,
        project_id=row.project_id,
        status=_STATUSES[row.status],
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
