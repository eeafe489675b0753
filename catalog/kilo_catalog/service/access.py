"""Who gets to an image: visibility first, then the policy. Every operation begins here."""

from typing import Any

from kilo_catalog.db.base import Transaction
from kilo_catalog.domain.image import Image, is_visible
from kilo_catalog.domain.member import shows_to_member
from kilo_catalog.errors import ImageNotFound
from kilo_common.context import RequestContext
from kilo_common.policy import Policy


class Access:
    """Finds images for a caller."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def find(
        self, transaction: Transaction, context: RequestContext, image_id: str, rule: str
    ) -> Image:
        """The image, if the caller may do to it what `rule` guards.

        Raises:
            ImageNotFound: there is none, or none that the caller may know of.
            PolicyForbids: the caller sees it, but may not do this.
        """
        image = transaction.images.get(image_id)
        if not _may_know(transaction, context, image):
            raise ImageNotFound(image_id)
        self.policy.enforce(context, rule, target(image))
        return image


def _may_know(transaction: Transaction, context: RequestContext, image: Image) -> bool:
    project = context.project_id
    if is_visible(image, project, is_admin=context.is_admin):
        return True
    return project is not None and shows_to_member(
        image, transaction.members.find(image.id, project)
    )


def target(image: Image) -> dict[str, Any]:
    """What a rule may ask about an image."""
    return {
        "id": image.id,
        "owner": image.owner,
        "project_id": image.owner,
        "visibility": image.visibility.value,
    }
