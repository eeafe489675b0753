"""The operations on single tags."""

from dataclasses import dataclass

from msgspec import structs

from kilo_catalog.db.base import Transaction, UnitOfWork
from kilo_catalog.domain.attributes import check_count, check_label
from kilo_catalog.domain.limits import Limits
from kilo_catalog.errors import TagNotFound
from kilo_catalog.service.access import Access
from kilo_catalog.service.events import EventRecorder
from kilo_common.clock import Clock
from kilo_common.context import RequestContext


@dataclass(frozen=True)
class Tags:
    """Put a tag on an image, take it off."""

    unit_of_work: UnitOfWork
    access: Access
    events: EventRecorder
    clock: Clock
    limits: Limits

    def put(self, context: RequestContext, image_id: str, tag: str) -> None:
        """Put a tag on an image; one that it has stays.

        Raises:
            ImageInvalid: a tag may not look like that.
            ImageNotFound, PolicyForbids: see `Access.find`.
            LimitExceeded: the image has as many as it may have.
        """
        check_label("tag", tag, self.limits)
        now = self.clock.now()

        def work(transaction: Transaction) -> None:
            image = self.access.find(transaction, context, image_id, "modify_image")
            if tag in image.tags:
                return
            check_count(len(image.tags) + 1, self.limits.tags, "tags")
            tags = tuple(sorted((*image.tags, tag)))
            kept = transaction.images.update(structs.replace(image, tags=tags, updated_at=now))
            self.events.record(transaction, context, "image.update", kept)

        self.unit_of_work.write(work)

    def remove(self, context: RequestContext, image_id: str, tag: str) -> None:
        """Take a tag off an image.

        Raises:
            ImageNotFound, PolicyForbids: see `Access.find`.
            TagNotFound: it has no such tag.
        """
        now = self.clock.now()

        def work(transaction: Transaction) -> None:
            image = self.access.find(transaction, context, image_id, "modify_image")
            if tag not in image.tags:
                raise TagNotFound("Could not find such a tag on the image", image_id=image_id)
            tags = tuple(each for each in image.tags if each != tag)
            kept = transaction.images.update(structs.replace(image, tags=tags, updated_at=now))
            self.events.record(transaction, context, "image.update", kept)

        self.unit_of_work.write(work)
