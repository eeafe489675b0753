"""Virtual PC's disks (vhd): fixed ones, which are raw with a footer, and dynamic ones.

A differencing disk names its parent and is refused. The layout is in Microsoft's Virtual Hard Disk
Image Format Specification.
"""

import struct

from kilo_catalog.imaging.scan import Parser, Scan, Sheet, take, text

FOOTER = 512
COOKIE = b"conectix"
_FOOTER = struct.Struct(">8sIIQI4sI4sQQHBBII16s")
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4
_TYPES = {_FIXED: "fixed", _DYNAMIC: "dynamic", _DIFFERENCING: "differencing"}
# Makers whose size field is exact; with all others readers go by the geometry, as QEMU does.
_EXACT = frozenset({b"win ", b"qem2", b"d2v ", b"tap\0", b"CTXS"})
_LARGEST_GEOMETRY = (65535, 16, 255)
_GREATEST_SIZE = 1 << 53


def parse_vhd(scan: Scan, sheet: Sheet, head: bytes) -> Parser:
    """A dynamic disk, whose footer's copy comes first."""
    if len(head) < FOOTER:
        sheet.dangers.append("its header is cut short")
        return
    kind = _read_footer(sheet, head[:FOOTER])
    if kind == _FIXED:
        sheet.dangers.append("it is a fixed disk, yet begins with its footer")
        return
    (offset,) = struct.unpack_from(">Q", head, 16)
    if sheet.dangers or not FOOTER <= offset < 1 << 20:
        sheet.dangers.append("its header holds absurd values")
        return
    dynamic = yield from take(head, offset, 1024)
    _read_dynamic(sheet, dynamic)

    def compare(_size: int, tail: bytes) -> None:
        if tail[-FOOTER:] != head[:FOOTER]:
            sheet.warnings.append("Its footer is missing or is not what its header says.")

    scan.at_end(compare)


def parse_fixed(sheet: Sheet, size: int, footer: bytes) -> bool:
    """A fixed disk, known only by its last bytes; whether it is one."""
    if size < FOOTER or not footer.startswith(COOKIE):
        return False
    sheet.format = "vhd"
    if _read_footer(sheet, footer) != _FIXED:
        sheet.dangers.append("its header is missing")
    elif sheet.virtual_size is not None and sheet.virtual_size > size - FOOTER:
        sheet.dangers.append("it is cut short")
    return True


def _read_footer(sheet: Sheet, footer: bytes) -> int:
    (
        _cookie, _features, version, _offset, _time, maker, _maker_version, _host,
        _original, current, cylinders, heads, sectors, kind, checksum, _uuid,
    ) = _FOOTER.unpack_from(footer)  # fmt: skip
    sheet.facts["variant"] = _TYPES.get(kind, str(kind))
    sheet.facts["creator"] = text(maker)
    if version >> 16 != 1 or kind not in _TYPES:
        sheet.dangers.append("its header holds absurd values")
    if kind == _DIFFERENCING:
        sheet.dangers.append("it is a differencing disk: the rest is in its parent")
    if ~(sum(footer[:64]) + sum(footer[68:FOOTER])) & 0xFFFFFFFF != checksum:
        sheet.warnings.append("The checksum of its footer is wrong.")
    geometry = (cylinders, heads, sectors)
    exact = maker in _EXACT or geometry == _LARGEST_GEOMETRY
    size = current if exact else cylinders * heads * sectors * 512
    if size > _GREATEST_SIZE:
        sheet.dangers.append("its header holds absurd values")
        return int(kind)
    sheet.virtual_size = size
    return int(kind)


def _read_dynamic(sheet: Sheet, data: bytes) -> None:
    if len(data) < 1024 or not data.startswith(b"cxsparse"):
        sheet.dangers.append("its second header is missing")
        return
    entries, block = struct.unpack_from(">II", data, 28)
    if block < 512 or block & (block - 1) or entries > 1 << 28:
        sheet.dangers.append("its header holds absurd values")
        return
    sheet.facts["block_size"] = str(block)
    if any(data[64:576]):
        name = text(data[64:576], "utf-16-be")
        sheet.facts["backing_file"] = name
        sheet.dangers.append(f"it has a parent ({name})")
