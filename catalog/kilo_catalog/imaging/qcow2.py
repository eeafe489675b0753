"""qcow2, versions 2 and 3: what its header tells, and all that leads to other files.

A backing file or an external data file names a path that is opened on the host where the image is
used (CVE-2024-32498). The header's layout is in QEMU's docs/interop/qcow2.rst.
"""

import struct

from kilo_catalog.imaging.scan import Sheet, text

_V2 = struct.Struct(">4sIQIIQIIQQIIQ")
_V3 = struct.Struct(">QQQII")
_DIRTY, _CORRUPT, _EXTERNAL_DATA, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_KNOWN_FEATURES = 0b11111
_LAZY_REFCOUNTS = 1
_GREATEST_SIZE = 1 << 62
_GREATEST_L1 = 32 << 20
"""QEMU's own limit on the bytes of the first-level table."""
_CRYPT = ("none", "aes", "luks")
_BACKING_FORMAT, _DATA_FILE, _BITMAPS = 0xE2792ACA, 0x44415441, 0x23852875
_EXTENSIONS = 4096
"""Header extensions further in than this are not looked at; all they could add are names."""


def parse_qcow2(sheet: Sheet, head: bytes) -> None:
    """Write down what the header says; the clusters are not looked at."""
    if len(head) < _V2.size:
        sheet.dangers.append("its header is cut short")
        return
    _check_v2(sheet, head)
    version, cluster_bits = struct.unpack_from(">I12xI", head, 4)
    if sheet.dangers and version not in (2, 3):
        return
    sheet.facts["compat"] = "0.10" if version == 2 else "1.1"
    if version == 3 and 9 <= cluster_bits <= 21:
        _check_v3(sheet, head, 1 << cluster_bits)


def _check_v2(sheet: Sheet, head: bytes) -> None:
    (
        _magic, version, backing_offset, backing_size, cluster_bits, size, crypt,
        l1_entries, l1_offset, refcount_offset, _clusters, snapshots, _snapshots_offset,
    ) = _V2.unpack_from(head)  # fmt: skip
    if version not in (2, 3):
        sheet.dangers.append(f"its version is {version}, not 2 or 3")
        return
    if backing_offset:
        name = text(head[backing_offset : backing_offset + min(backing_size, 1023)])
        sheet.facts["backing_file"] = name or "?"
        sheet.dangers.append(f"it has a backing file ({name or 'of a name out of reach'})")
    if not 9 <= cluster_bits <= 21:
        sheet.dangers.append(f"its clusters have {cluster_bits} bits, not 9 to 21")
        return
    cluster = 1 << cluster_bits
    sheet.virtual_size = size
    sheet.facts["cluster_size"] = str(cluster)
    if size > _GREATEST_SIZE or crypt > 2 or l1_entries * 8 > _GREATEST_L1:
        sheet.dangers.append("its header holds absurd values")
        sheet.virtual_size = None
        return
    if l1_offset % cluster or refcount_offset % cluster:
        sheet.dangers.append("its tables do not begin at a cluster")
    if l1_entries * cluster * (cluster // 8) < size:
        sheet.dangers.append("its table is too small for its disk")
    if crypt:
        sheet.facts["encrypted"] = _CRYPT[crypt]
    if snapshots:
        sheet.facts["snapshots"] = str(snapshots)


def _check_v3(sheet: Sheet, head: bytes, cluster: int) -> None:
    if len(head) < _V2.size + _V3.size:
        sheet.dangers.append("its header is cut short")
        return
    features, compatible, _autoclear, order, length = _V3.unpack_from(head, _V2.size)
    if features & _EXTERNAL_DATA:
        sheet.dangers.append("it has an external data file")
    if features & ~_KNOWN_FEATURES:
        sheet.dangers.append("it needs features that we do not know")
    if order > 6 or length % 8 or not 104 <= length <= cluster:
        sheet.dangers.append("its header holds absurd values")
        return
    sheet.facts["refcount_bits"] = str(1 << order)
    sheet.facts["compression_type"] = "zlib"
    if features & _COMPRESSION:
        if length < 112 or len(head) < 105 or head[104] > 1:
            sheet.dangers.append("it needs features that we do not know")
        else:
            sheet.facts["compression_type"] = ("zlib", "zstd")[head[104]]
    if features & _EXTENDED_L2:
        sheet.facts["extended_l2"] = "yes"
    if compatible & _LAZY_REFCOUNTS:
        sheet.facts["lazy_refcounts"] = "yes"
    if features & _DIRTY:
        sheet.warnings.append("It was not closed cleanly: its reference counts may be wrong.")
    if features & _CORRUPT:
        sheet.warnings.append("It is marked as corrupt.")
    _read_extensions(sheet, head[: min(cluster, _EXTENSIONS)], length)


def _read_extensions(sheet: Sheet, head: bytes, offset: int) -> None:
    while offset + 8 <= len(head):
        kind, length = struct.unpack_from(">II", head, offset)
        if kind == 0:
            return
        value = head[offset + 8 : offset + 8 + length]
        if kind == _BACKING_FORMAT:
            sheet.facts["backing_format"] = text(value)
        elif kind == _DATA_FILE:
            sheet.facts["data_file"] = text(value)
        elif kind == _BITMAPS and len(value) >= 4:
            sheet.facts["bitmaps"] = str(struct.unpack_from(">I", value)[0])
        offset += 8 + (length + 7) // 8 * 8
