"""qcow2, versions 2 and 3: the virtual size, and a refusal of all that leads to other files.

A backing file or an external data file names a path that is opened on the host where the image is
used (CVE-2024-32498). The header's layout is in QEMU's docs/interop/qcow2.txt.
"""

import struct

from kilo_catalog.imaging.inspector import SIGNATURES, Inspector, recognise, refuse

_V2 = struct.Struct(">4sIQIIQIIQQIIQ")
_V3 = struct.Struct(">QQQII")
_EXTERNAL_DATA = 1 << 2
_KNOWN_FEATURES = 0b11111
"""Dirty, corrupt, external data file, compression type, extended L2 entries."""
_GREATEST_SIZE = 1 << 62
_GREATEST_L1 = 32 << 20
"""QEMU's own limit on the bytes of the first-level table."""


class Qcow2Inspector(Inspector):
    """Reads the header; the clusters are not looked at."""

    def _inspect(self, header: bytes) -> None:
        if not header.startswith(SIGNATURES["qcow2"]):
            raise refuse(self._declared, recognise(header))
        if len(header) < _V2.size:
            raise self._unsafe("its header is cut short")
        self._check_v2(header)
        version, cluster_bits = struct.unpack_from(">I12xI", header, 4)
        if version == 3:
            self._check_v3(header, 1 << cluster_bits)

    def _check_v2(self, header: bytes) -> None:
        (
            _magic, version, backing_offset, _backing_size, cluster_bits, size, crypt,
            l1_entries, l1_offset, refcount_offset, _clusters, _snapshots, _snapshots_offset,
        ) = _V2.unpack_from(header)  # fmt: skip
        if version not in (2, 3):
            raise self._unsafe(f"its version is {version}, not 2 or 3")
        if backing_offset:
            raise self._unsafe("it has a backing file")
        if not 9 <= cluster_bits <= 21:
            raise self._unsafe(f"its clusters have {cluster_bits} bits, not 9 to 21")
        if size > _GREATEST_SIZE or crypt > 2 or l1_entries * 8 > _GREATEST_L1:
            raise self._unsafe("its header holds absurd values")
        cluster = 1 << cluster_bits
        if l1_offset % cluster or refcount_offset % cluster:
            raise self._unsafe("its tables do not begin at a cluster")
        if l1_entries * cluster * (cluster // 8) < size:
            raise self._unsafe("its table is too small for its disk")

    def _check_v3(self, header: bytes, cluster: int) -> None:
        if len(header) < _V2.size + _V3.size:
            raise self._unsafe("its header is cut short")
        features, _, _, refcount_order, length = _V3.unpack_from(header, _V2.size)
        if features & _EXTERNAL_DATA:
            raise self._unsafe("it has an external data file")
        if features & ~_KNOWN_FEATURES:
            raise self._unsafe("it needs features that we do not know")
        if refcount_order > 6 or length % 8 or not 104 <= length <= cluster:
            raise self._unsafe("its header holds absurd values")

    def _unsafe(self, reason: str) -> Exception:
        return refuse(self._declared, "qcow2", reason)

    def _virtual_size(self) -> int | None:
        (virtual_size,) = struct.unpack_from(">Q", self._header, 24)
        return int(virtual_size)
