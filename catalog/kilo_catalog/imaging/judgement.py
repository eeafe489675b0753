"""Whether bytes of one format may be called another: what a declared format is held to."""

from kilo_catalog.errors import FormatRefused
from kilo_catalog.imaging.signatures import COMPRESSIONS, DISKS

_EXACT = frozenset({"qcow2", "vmdk", "vhd", "vhdx", "vdi", "ploop", "iso"})
"""Disk formats that the bytes of a bare image must show."""


def contradicts(disk_format: str, container_format: str, found: str) -> bool:
    """Whether bytes recognised as `found` may not be declared so.

    A disk format that another tool would recognise never hides under a name of its own choosing:
    in a container it must be the declared one, and bare it must be that and nothing else.
    """
    if container_format == "compressed":
        return found not in COMPRESSIONS
    if container_format == "ova":
        return found != "tar"
    if container_format == "bare" and disk_format in _EXACT:
        return found != disk_format
    return found in DISKS and found != disk_format


def refuse(disk_format: str, container_format: str, found: str, reason: str = "") -> FormatRefused:
    """The error for bytes that are not what they are called, or not safe."""
    declared = disk_format if container_format == "bare" else container_format
    what = reason or f"the data is {found}"
    return FormatRefused(
        f"The image is declared to be {declared}, but {what}", declared=declared, found=found
    )
