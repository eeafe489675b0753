"""The interface of converters: one disk, from one format to another.

A converter opens the source as the format it is told, whatever the bytes look like. The caller has
had them inspected: an image that leads to other files never gets here.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator
from pathlib import Path

from msgspec import Struct


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
