"""The operations on image records."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from msgspec import structs

from kilo_catalog.db.base import Doomed, Transaction, UnitOfWork, Usage
from kilo_catalog.domain import patch
from kilo_catalog.domain.attributes import check_properties, parse_new
from kilo_catalog.domain.image import Image, ImageStatus, Visibility, bury, check_version, move
from kilo_catalog.domain.limits import Limits
from kilo_catalog.domain.listing import ImagePage
from kilo_catalog.domain.listing_query import Pairs, parse_query
from kilo_catalog.domain.task import ENDED
from kilo_catalog.errors import AttributeForbidden, ImageProtected, StatusForbids, TaskNotFound
from kilo_catalog.service.access import Access, target
from kilo_catalog.service.blob_removal import BlobRemoval
from kilo_catalog.service.events import EventRecorder
from kilo_catalog.service.protections import PropertyProtections
from kilo_catalog.service.quotas import ProjectQuotas
from kilo_common.clock import Clock
from kilo_common.context import RequestContext
from kilo_common.ids import IdSource

_BRIEF_PAGE = 100


@dataclass(frozen=True)
class Images:
    """Create, show, list, change, delete, deactivate."""

    unit_of_work: UnitOfWork
    access: Access
    events: EventRecorder
    removal: BlobRemoval
    clock: Clock
    new_id: IdSource
    limits: Limits
    quotas: ProjectQuotas
    protections: PropertyProtections

    def create(self, context: RequestContext, body: object) -> Image:
        """Make a record without data out of the attributes in `body`.

        Raises:
            ImageInvalid, AttributeForbidden, LimitExceeded: see `parse_new`.
            PolicyForbids: the caller may not make such an image.
            ImageIdTaken: the id it asks for is in use or was.
            QuotaExceeded: the project has as many images as it may have.
            PropertyProtected: a property is not the caller's to give.
        """
        new = parse_new(body, self.limits)
        now = self.clock.now()
        values = {"id": self.new_id(), "owner": context.project_id, **new.values}
        image = Image(created_at=now, updated_at=now, properties=new.properties, **values)
        if image.owner != context.project_id:
            self._check_owner(context, image)
        self.access.policy.enforce(context, "add_image", target(image))
        self._check_visibility(context, image)
        self.protections.check_new(context, image)

        def work(transaction: Transaction) -> None:
            self.quotas.check_new_image(transaction, image.owner)
            transaction.images.add(image)
            self.events.record(transaction, context, "image.create", image)

        self.unit_of_work.write(work)
        return self.protections.readable(context, image)

    def get(self, context: RequestContext, image_id: str) -> Image:
        """The image, with the properties that the caller may see.

        Raises:
            ImageNotFound, PolicyForbids: see `Access.find`.
        """
        image = self.unit_of_work.read(
            lambda tx: self.access.find(tx, context, image_id, "get_image"), brief=True
        )
        return self.protections.readable(context, image)

    def list_page(self, context: RequestContext, pairs: Pairs) -> ImagePage:
        """One page of the images that the caller may list and the query string asks for.

        Raises:
            ListQueryInvalid: the query string is malformed.
            PolicyForbids: the caller may not list.
        """
        self.access.policy.enforce(context, "get_images", {"project_id": context.project_id})
        query = parse_query(pairs, self.limits, context.project_id, is_admin=context.is_admin)
        if not self.protections.may_filter(context, query):
            return ImagePage((), has_more=False)
        brief = query.is_plain and query.limit <= _BRIEF_PAGE
        page = self.unit_of_work.read(lambda tx: tx.images.list_page(query), brief=brief)
        seen = tuple(self.protections.readable(context, each) for each in page.images)
        return ImagePage(seen, page.has_more)

    def usage(self, context: RequestContext) -> Usage:
        """What the images of the caller's project take."""
        return self.unit_of_work.read(lambda tx: tx.images.usage(context.project_id))

    def update(
        self,
        context: RequestContext,
        image_id: str,
        document: patch.Document,
        expected: Collection[int] | None = None,
    ) -> Image:
        """Make all changes that the document means, or none.

        Raises:
            ImageNotFound, PolicyForbids: see `Access.find`.
            VersionMismatch: the image is not of an expected version.
            PatchTestFailed: the document supposes another image.
            AttributeForbidden, StatusForbids, PropertyConflict, ImageInvalid, LimitExceeded:
                see `patch.apply`.
            PropertyProtected: a property is not the caller's to change so.
        """
        now = self.clock.now()

        def work(transaction: Transaction) -> Image:
            image = self.access.find(transaction, context, image_id, "modify_image")
            check_version(image, expected)
            seen = self.protections.readable(context, image)
            changed = patch.apply(seen, document(seen), self.limits, now)
            if changed is seen:
                return seen
            changed = self.protections.merge(context, image, changed)
            check_properties(changed.properties, self.limits)
            if changed.owner != image.owner:
                self._check_owner(context, changed)
            if changed.visibility is not image.visibility:
                self._check_visibility(context, changed)
            kept = transaction.images.update(changed)
            self.events.record(transaction, context, "image.update", kept)
            return self.protections.readable(context, kept)

        return self.unit_of_work.write(work)

    def delete(
        self, context: RequestContext, image_id: str, expected: Collection[int] | None = None
    ) -> None:
        """Delete the record, then its data. An upload that is under way ends without effect.

        Raises:
            ImageNotFound, PolicyForbids: see `Access.find`.
            VersionMismatch: the image is not of an expected version.
            ImageProtected: it is protected.
        """
        now = self.clock.now()

        def work(transaction: Transaction) -> Sequence[Doomed]:
            image = self.access.find(transaction, context, image_id, "delete_image")
            check_version(image, expected)
            if image.protected:
                raise ImageProtected(
                    f"Image {image_id} is protected and cannot be deleted.", image_id=image_id
                )
            buried = transaction.images.update(bury(image, now))
            doomed = [Doomed(each.store, each.key, now) for each in image.locations if each.ours]
            if image.upload is not None:
                # Not before its lease ends: until then the upload's process may write the blob.
                claim = image.upload
                doomed.append(Doomed(claim.store, claim.id, max(now, claim.written_until)))
            if image.staged is not None:
                doomed.append(Doomed(image.staged.store, image.staged.key, now))
            _cancel_import(transaction, image)
            for each in doomed:
                transaction.doomed.add(each)
            self.events.record(transaction, context, "image.delete", buried)
            return doomed

        self.removal.remove_now(self.unit_of_work.write(work))

    def deactivate(self, context: RequestContext, image_id: str) -> None:
        """Keep the data from all but administrators.

        Raises:
            ImageNotFound, PolicyForbids: see `Access.find`.
            StatusForbids: the image has no data.
        """
        self._switch(context, image_id, ImageStatus.DEACTIVATED)

    def reactivate(self, context: RequestContext, image_id: str) -> None:
        """Undo `deactivate`. Raises as it does."""
        self._switch(context, image_id, ImageStatus.ACTIVE)

    def _switch(self, context: RequestContext, image_id: str, wanted: ImageStatus) -> None:
        switchable = (ImageStatus.ACTIVE, ImageStatus.DEACTIVATED)
        rule = "deactivate" if wanted is ImageStatus.DEACTIVATED else "reactivate"

        def work(transaction: Transaction) -> None:
            image = self.access.find(transaction, context, image_id, rule)
            if image.status not in switchable:
                raise StatusForbids(
                    f"Image status transition from {image.status.value} to {wanted.value} "
                    "is not allowed",
                    image_id=image_id,
                    status=image.status.value,
                )
            if image.status is not wanted:
                kept = transaction.images.update(move(image, wanted))
                self.events.record(transaction, context, f"image.{rule}", kept)

        self.unit_of_work.write(work)

    def _check_owner(self, context: RequestContext, image: Image) -> None:
        if not self.access.policy.allows(context, "set_image_owner", target(image)):
            raise AttributeForbidden(
                "Attribute 'owner' can only be set by an administrator.", attribute="owner"
            )

    def _check_visibility(self, context: RequestContext, image: Image) -> None:
        if image.visibility is Visibility.PUBLIC:
            self.access.policy.enforce(context, "publicize_image", target(image))
        elif image.visibility is Visibility.COMMUNITY:
            self.access.policy.enforce(context, "communitize_image", target(image))


def _cancel_import(transaction: Transaction, image: Image) -> None:
    """Have the task end that imports the image; what it has made itself it removes then."""
    if image.imports is None or image.imports.task is None:
        return
    try:
        task = transaction.tasks.get(image.imports.task)
    except TaskNotFound:
        return
    if task.status not in ENDED:
        transaction.tasks.update(structs.replace(task, cancelled=True))
