"""How big the parts of an image may get. A section of the configuration as well."""

from typing import Annotated

from msgspec import Meta

from kilo_common.config import Section


class ArtifactLimits(Section, frozen=True):
    """How much a project may have of each type of artifacts."""

    most: Annotated[int, Meta(description="Artifacts of one type.", ge=0)] = 100_000
    size: Annotated[int, Meta(description="Bytes of the artifacts of one type.", ge=0)] = 1 << 42


class Limits(Section, frozen=True):
    """How big images and their records may get."""

    image_size: Annotated[
        int, Meta(description="The most bytes of data one image may have.", ge=1, le=2**62)
    ] = 1 << 40
    name_length: Annotated[
        int,
        Meta(description="The most characters of a name, a property's name, a tag.", ge=1, le=255),
    ] = 255
    properties: Annotated[int, Meta(description="The most properties of one image.", ge=0)] = 128
    properties_length: Annotated[
        int,
        Meta(description="The most characters of all properties of one image together.", ge=0),
    ] = 1 << 20
    tags: Annotated[int, Meta(description="The most tags of one image.", ge=0)] = 128
    members: Annotated[
        int, Meta(description="The most projects one image is shared with.", ge=0)
    ] = 128
    metadef_items: Annotated[
        int,
        Meta(
            description="The most objects, properties, tags or resource types of one namespace of "
            "metadata definitions.",
            ge=1,
        ),
    ] = 1000
    metadef_size: Annotated[
        int,
        Meta(description="The most bytes of one namespace of metadata definitions.", ge=1024),
    ] = 4 << 20
    page_default: Annotated[
        int, Meta(description="Images on a page when the request names no limit.", ge=1, le=1000)
    ] = 25
    page_most: Annotated[int, Meta(description="The most images on a page.", ge=1, le=10_000)] = (
        1000
    )
    body_size: Annotated[
        int, Meta(description="The most bytes of a JSON request body.", ge=1024)
    ] = 1 << 20
