"""The interface of converters: one disk, from one format to another.

A converter opens the source as the format it is told, whatever the bytes look like. The caller has
had them inspected: an image that leads to other files never gets here.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from pathlib import Path

from msgspec import Struct

from kilo_catalog.errors import ConversionInvalid

SOURCES = frozenset({"raw", "gpt", "qcow2", "vmdk", "vhd", "vhdx", "vdi", "ploop"})
"""Disk formats that can be converted."""
TARGETS = frozenset({"raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi"})
"""Those that can be converted to."""
COMPRESSIBLE = frozenset({"qcow2", "vmdk"})
"""Targets whose data can be compressed inside."""


class Conversion(Struct, frozen=True):
    """What is to be done."""

    source: Path
    """A file that is only read."""
    source_format: str
    target: Path
    """A file that does not exist yet, in a folder of this conversion's own."""
    target_format: str
    compress: bool = False


class Converter(ABC):
    """Converts disks."""

    @abstractmethod
    def can(self, source_format: str, target_format: str) -> bool:
        """Whether it knows both formats, by the names of the Image API."""

    @abstractmethod
    def convert(self, work: Conversion) -> Generator[float, None, None]:
        """Do it bit by bit; each bit tells how much is done, from 0 to 1. Long runs of zeros become
        holes. To give up, close the iterator: nothing of it goes on after that.

        Raises:
            ConversionFailed: the source is damaged, or it takes too long.
            ScratchFull: there is no room for the target.
        """

    @abstractmethod
    def compare(
        self, one: Path, its_format: str, other: Path, other_format: str
    ) -> Generator[bool, None, None]:
        """Read two disks bit by bit. The last word is whether a guest would see the same in both;
        until then each bit says True. A longer disk is the same if the rest is zeros.

        Raises:
            ConversionFailed: one is damaged, or it takes too long.
        """


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


def same_format(one: str | None, other: str) -> bool:
    """Whether the two names mean the same bytes."""
    return _BYTES.get(one or "", one) == _BYTES.get(other, other)


_BYTES: Mapping[str, str] = {"gpt": "raw"}
