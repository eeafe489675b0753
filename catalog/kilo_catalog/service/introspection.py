"""What an image's data was found to be."""

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import structs

from kilo_catalog.db.base import UnitOfWork
from kilo_catalog.domain.attributes import check_properties
from kilo_catalog.domain.findings import PREFIX, Findings, as_properties
from kilo_catalog.domain.image import Image
from kilo_catalog.domain.limits import Limits
from kilo_catalog.errors import ImageUninspected, LimitExceeded
from kilo_catalog.service.access import Access
from kilo_common.context import RequestContext


@dataclass(frozen=True)
class Introspection:
    """Show findings."""

    unit_of_work: UnitOfWork
    access: Access

    def get(self, context: RequestContext, image_id: str) -> tuple[Image, Findings]:
        """The image and what was found.

        Raises:
            ImageNotFound, PolicyForbids: see `Access.find`.
            ImageUninspected: it has no data, or none that was looked at.
        """
        image = self.unit_of_work.read(
            lambda tx: self.access.find(tx, context, image_id, "get_image")
        )
        if image.findings is None:
            raise ImageUninspected(
                f"Nothing is known of the data of image {image_id}: it has none yet, or none that "
                "passed through this service",
                image_id=image_id,
            )
        return image, image.findings


def publish(image: Image, limits: Limits) -> Image:
    """`image` with its findings as properties, in place of those of other data before.

    The limits on properties are the owner's to use up: where there is no room, none are added.
    """
    kept = {name: each for name, each in image.properties.items() if not name.startswith(PREFIX)}
    properties: Mapping[str, str] = kept | as_properties(image.findings)
    try:
        check_properties(properties, limits)
    except LimitExceeded:
        properties = kept
    return structs.replace(image, properties=properties)
