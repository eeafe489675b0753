"""Where an inspection begins: with declared formats to hold the bytes to, or without."""

from collections.abc import Iterable
from pathlib import Path

from kilo_catalog.domain.findings import Findings
from kilo_catalog.imaging.inspector import Inspector

_BLOCK = 1 << 20


def open_inspector(disk_format: str, container_format: str) -> Inspector:
    """An inspector that refuses data that is not of the declared formats, or not safe."""
    return Inspector(disk_format, container_format)


def identify(blocks: Iterable[bytes]) -> Findings:
    """What some bytes are. Nothing is refused; dangers are among the warnings."""
    inspector = Inspector(None, None)
    for block in blocks:
        inspector.feed(block)
    return inspector.finish()


def inspect_file(path: Path, disk_format: str) -> Findings:
    """What a file is that is said to be a bare disk of a format.

    Raises:
        FormatRefused: it is not, or not a safe one.
    """
    inspector = open_inspector(disk_format, "bare")
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            inspector.feed(block)
    return inspector.finish()
