"""The operations on the members of images: the projects that images are shared with."""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import structs

from kilo_catalog.db.base import Transaction, UnitOfWork
from kilo_catalog.domain.attributes import check_count
from kilo_catalog.domain.image import Image, Visibility
from kilo_catalog.domain.limits import Limits
from kilo_catalog.domain.member import Member, parse_project, parse_status
from kilo_catalog.errors import MemberExists, MemberNotFound, SharingForbids
from kilo_catalog.service.access import Access, target
from kilo_catalog.service.events import EventRecorder
from kilo_common.clock import Clock
from kilo_common.context import RequestContext


@dataclass(frozen=True)
class Members:
    """Share an image, accept or reject it, end that. A member sees only itself among them."""

    unit_of_work: UnitOfWork
    access: Access
    events: EventRecorder
    clock: Clock
    limits: Limits

    def list(self, context: RequestContext, image_id: str) -> Sequence[Member]:
        """The members of an image that the caller may know of.

        Raises:
            ImageNotFound, PolicyForbids: see `Access.find`.
        """

        def work(transaction: Transaction) -> Sequence[Member]:
            image = self.access.find(transaction, context, image_id, "get_members")
            return [
                member
                for member in transaction.members.list(image.id)
                if _may_see(context, image, member.project_id)
            ]

        return self.unit_of_work.read(work)

    def get(self, context: RequestContext, image_id: str, project_id: str) -> Member:
        """One member of an image.

        Raises:
            ImageNotFound, PolicyForbids: see `Access.find`.
            MemberNotFound: there is none, or none that the caller may know of.
        """
        return self.unit_of_work.read(
            lambda tx: self._find(tx, context, image_id, project_id, "get_member")[1]
        )

    def add(self, context: RequestContext, image_id: str, body: object) -> Member:
        """Share an image with the project that `body` names.

        Raises:
            MemberInvalid: it names none.
            ImageNotFound, PolicyForbids: see `Access.find`.
            SharingForbids: the image's visibility is not `shared`.
            MemberExists: it is shared with that project already.
            LimitExceeded: the image has as many members as it may have.
        """
        project_id = parse_project(body)
        now = self.clock.now()
        member = Member(image_id=image_id, project_id=project_id, created_at=now, updated_at=now)

        def work(transaction: Transaction) -> None:
            image = self.access.find(transaction, context, image_id, "add_member")
            if image.visibility is not Visibility.SHARED:
                raise SharingForbids(
                    f"Only shared images have members; this one is {image.visibility.value}.",
                    image_id=image_id,
                    visibility=image.visibility.value,
                )
            present = transaction.members.list(image_id)
            if any(each.project_id == project_id for each in present):
                raise MemberExists(
                    f"Image {image_id} is shared with {project_id} already",
                    image_id=image_id,
                    member_id=project_id,
                )
            check_count(len(present) + 1, self.limits.members, "members")
            transaction.members.add(member)
            self.events.record_member(transaction, context, "image.member.create", image, member)

        self.unit_of_work.write(work)
        return member

    def set_status(
        self, context: RequestContext, image_id: str, project_id: str, body: object
    ) -> Member:
        """Accept or reject an image that is shared with the caller, as `body` says.

        Raises:
            MemberInvalid: it says nothing that there is.
            ImageNotFound, PolicyForbids: see `Access.find`; the owner may not do it.
            MemberNotFound: there is none, or none that the caller may know of.
        """
        status = parse_status(body)
        now = self.clock.now()

        def work(transaction: Transaction) -> Member:
            image, member = self._find(transaction, context, image_id, project_id, "get_member")
            about = {**target(image), "member_id": project_id}
            self.access.policy.enforce(context, "modify_member", about)
            changed = structs.replace(member, status=status, updated_at=now)
            transaction.members.update(changed)
            self.events.record_member(transaction, context, "image.member.update", image, changed)
            return changed

        return self.unit_of_work.write(work)

    def remove(self, context: RequestContext, image_id: str, project_id: str) -> None:
        """Share an image with a project no longer.

        Raises:
            ImageNotFound, PolicyForbids: see `Access.find`.
            MemberNotFound: it is not shared with that project.
        """

        def work(transaction: Transaction) -> None:
            image, member = self._find(transaction, context, image_id, project_id, "delete_member")
            transaction.members.remove(image_id, project_id)
            self.events.record_member(transaction, context, "image.member.delete", image, member)

        self.unit_of_work.write(work)

    def _find(
        self,
        transaction: Transaction,
        context: RequestContext,
        image_id: str,
        project_id: str,
        rule: str,
    ) -> tuple[Image, Member]:
        image = self.access.find(transaction, context, image_id, rule)
        member = transaction.members.find(image_id, project_id)
        if member is None or not _may_see(context, image, project_id):
            raise MemberNotFound(image_id, project_id)
        return image, member


def _may_see(context: RequestContext, image: Image, project_id: str) -> bool:
    return context.is_admin or (
        context.project_id is not None and context.project_id in (image.owner, project_id)
    )
