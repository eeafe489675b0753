"""Which disk formats can be converted to which, and who says that one is to be."""

from collections.abc import Mapping

from kilo_catalog.domain.image import Image
from kilo_catalog.errors import ConversionInvalid

SOURCES = frozenset({"raw", "gpt", "qcow2", "vmdk", "vhd", "vhdx", "vdi", "ploop"})
"""Disk formats that can be converted."""
TARGETS = frozenset({"raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi"})
"""Those that can be converted to."""
COMPRESSIBLE = frozenset({"qcow2", "vmdk"})
"""Targets whose data can be compressed inside."""
PROPERTY = "convert_to"
"""The property by which any client can ask for a conversion when the data comes in."""
ORIGINAL_FORMAT, ORIGINAL_HASH = "converted_from", "converted_from_sha512"
"""Properties that tell of the data as it came in."""
_SAME_BYTES: Mapping[str | None, str] = {"gpt": "raw"}


def check_conversion(source_format: str | None, target_format: str, *, compress: bool) -> None:
    """Return if there is such a conversion.

    Raises:
        ConversionInvalid: there is none; the sentence says which there are.
    """
    if target_format not in TARGETS:
        raise ConversionInvalid(
            f"Images cannot be converted to {target_format[:32]!r}; formats to convert to are: "
            f"{', '.join(sorted(TARGETS))}",
            disk_format=target_format[:32],
        )
    if source_format not in SOURCES:
        raise ConversionInvalid(
            f"Images of the format {source_format or '(none)'} cannot be converted; those that "
            f"can be are: {', '.join(sorted(SOURCES))}",
            disk_format=source_format,
        )
    if compress and target_format not in COMPRESSIBLE:
        raise ConversionInvalid(
            f"The data of {target_format} images is not compressed; formats that can be are: "
            f"{', '.join(sorted(COMPRESSIBLE))}",
            disk_format=target_format,
        )


def check_container(image: Image, *more: str) -> None:
    """Return if the image's data is a disk and nothing around it, or is in one of `more`.

    Raises:
        ConversionInvalid: it is not.
    """
    if image.container_format not in ("bare", *more):
        raise ConversionInvalid(
            f"Only images of the container format bare can be converted; this one is "
            f"{image.container_format}",
            container_format=image.container_format,
        )


def same_format(one: str | None, other: str) -> bool:
    """Whether the two names mean the same bytes."""
    return _SAME_BYTES.get(one, one) == _SAME_BYTES.get(other, other)
