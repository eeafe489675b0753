"""Where an inspection begins: with declared formats to hold the bytes to, or without."""

from collections.abc import Iterable

from kilo_catalog.domain.findings import Findings
from kilo_catalog.imaging.inspector import Inspector


def open_inspector(disk_format: str, container_format: str) -> Inspector:
    """An inspector that refuses data that is not of the declared formats, or not safe."""
    return Inspector(disk_format, container_format)


def identify(blocks: Iterable[bytes]) -> Findings:
    """What some bytes are. Nothing is refused; dangers are among the warnings."""
    inspector = Inspector(None, None)
    for block in blocks:
        inspector.feed(block)
    return inspector.finish()
