"""Formats whose bytes mean nothing to us: `raw`, and those without an inspector."""

from kilo_catalog.imaging.inspector import Inspector, recognise, refuse


class RawInspector(Inspector):
    """A raw disk may hold anything but the header of a container format.

    Whoever uses it would recognise that header and follow it to files of the host.
    """

    def _inspect(self, header: bytes) -> None:
        found = recognise(header)
        if found != "raw":
            raise refuse(self._declared, found)

    def _virtual_size(self) -> int | None:
        return self._size


class OpaqueInspector(Inspector):
    """A format that we do not read: it may be anything but another one that we recognise."""

    def _inspect(self, header: bytes) -> None:
        found = recognise(header)
        if found not in ("raw", self._declared):
            raise refuse(self._declared, found)

    def _virtual_size(self) -> int | None:
        return None
