"""What the images of one project may take. A section of the configuration as well."""

from typing import Annotated

from msgspec import Meta

from kilo_common.config import Section

UNLIMITED = -1


class Quotas(Section, frozen=True):
    """What the images of one project may take; -1 is no limit."""

    images: Annotated[int, Meta(description="The most images. -1: no limit.", ge=UNLIMITED)] = (
        UNLIMITED
    )
    size: Annotated[
        int, Meta(description="The most bytes of all its images. -1: no limit.", ge=UNLIMITED)
    ] = UNLIMITED
    uploads: Annotated[
        int, Meta(description="The most uploads at the same time. -1: no limit.", ge=UNLIMITED)
    ] = UNLIMITED
    staged: Annotated[
        int,
        Meta(
            description="The most bytes that wait for their import or are being imported. -1: no "
            "limit.",
            ge=UNLIMITED,
        ),
    ] = UNLIMITED
