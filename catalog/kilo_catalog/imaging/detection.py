"""Which inspector looks at which declared format."""

from kilo_catalog.imaging.inspector import Inspector
from kilo_catalog.imaging.qcow2 import Qcow2Inspector
from kilo_catalog.imaging.raw import OpaqueInspector, RawInspector


def open_inspector(disk_format: str, container_format: str) -> Inspector:
    """The inspector for data of the declared formats.

    A disk inside a container (an OVA, a compressed file) is not seen from outside.
    """
    if container_format == "bare" and disk_format == "raw":
        return RawInspector("raw")
    if container_format == "bare" and disk_format == "qcow2":
        return Qcow2Inspector("qcow2")
    return OpaqueInspector(disk_format)
