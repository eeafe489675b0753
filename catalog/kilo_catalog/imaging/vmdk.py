"""VMware's disks: one sparse file with its descriptor inside, plain or stream-optimised.

Everything else keeps its data in further files, which its descriptor names; who opens such an
image opens those. The layout is in VMware's Virtual Disk Format 5.0.
"""

import re
import struct

from kilo_catalog.imaging.scan import Parser, Scan, Sheet, take

_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")
_SECTOR = 512
_AT_END = 0xFFFF_FFFF_FFFF_FFFF
"""In place of the grain directory's offset: the header's copy at the end tells it."""
_FOOTER = 3 * _SECTOR
"""Marker, footer, end-of-stream marker."""
_TYPES = frozenset({"monolithicsparse", "streamoptimized"})
_EXTENT = re.compile(r'(RW|RDONLY|NOACCESS)\s+\d+\s+(\S+)(?:\s+"([^"]*)")?', re.IGNORECASE)
_PAIR = re.compile(r'([\w.]{1,64})\s*=\s*"?([^"]*)"?\s*')
_GREATEST_SIZE = 1 << 62
_MOST_SECTORS = 256
"""Of a descriptor; the usual is 20."""
_NO_PARENT = "ffffffff"


def parse_vmdk(scan: Scan, sheet: Sheet, head: bytes, base: int = 0, size: int = 0) -> Parser:
    """Read header, descriptor and footer. The disk begins `base` bytes into the image, and has
    `size` bytes if that is known beforehand."""
    if not head.startswith(b"KDMV"):
        _refuse_other(sheet, head)
        return
    length = _read_header(sheet, head)
    if not length:
        return
    descriptor = yield from take(head, _SECTOR, length, base)
    if len(descriptor) < length:
        sheet.dangers.append("its descriptor is cut short")
        return
    _read_descriptor(sheet, descriptor)
    if _directory(head) != _AT_END:
        return
    if size:
        end = yield from take(head, max(size - _FOOTER, 0), _FOOTER, base)
        _check_footer(sheet, head, end)
    else:
        scan.at_end(lambda _size, tail: _check_footer(sheet, head, tail[-_FOOTER:]))


def _refuse_other(sheet: Sheet, head: bytes) -> None:
    if head.startswith(b"COWD"):
        sheet.facts["variant"] = "vmfsSparse"
        sheet.dangers.append("it is an extent of an ESX disk, not a disk of its own")
        return
    sheet.dangers.append("it is only a descriptor, whose data is in other files")
    _read_descriptor(sheet, head)


def _read_header(sheet: Sheet, head: bytes) -> int:
    """The length of the descriptor behind it; 0 if the header is not one to go on from."""
    if len(head) < _SECTOR:
        sheet.dangers.append("its header is cut short")
        return 0
    (
        _magic, version, _flags, capacity, grain, at, sectors,
        _entries, _spare, _directory_at, _overhead, unclean, newlines, compression,
    ) = _HEADER.unpack_from(head)  # fmt: skip
    if not 1 <= version <= 3:
        sheet.dangers.append(f"its version is {version}, not 1 to 3")
    if newlines != b"\n \r\n":
        sheet.dangers.append("its line ends were converted on the way")
    # Without a capacity QEMU follows the descriptor to whatever files it names.
    if not 0 < capacity <= _GREATEST_SIZE // _SECTOR or grain & (grain - 1) or not grain:
        sheet.dangers.append("its header holds absurd values")
    if at != 1 or not 0 < sectors <= _MOST_SECTORS:
        sheet.dangers.append("its descriptor is not behind its header")
    if sheet.dangers:
        return 0
    sheet.virtual_size = capacity * _SECTOR
    sheet.facts["grain_size"] = str(grain * _SECTOR)
    if compression:
        sheet.facts["compression_type"] = "zlib" if compression == 1 else str(compression)
    if unclean:
        sheet.warnings.append("It was not closed cleanly.")
    return int(sectors) * _SECTOR


def _read_descriptor(sheet: Sheet, data: bytes) -> None:
    lines = data.split(b"\0", 1)[0].decode("utf-8", "replace").splitlines()
    pairs: dict[str, str] = {}
    extents: list[tuple[str, str]] = []
    for line in (each.strip() for each in lines):
        if line.startswith("#"):
            continue
        if found := _EXTENT.match(line):
            extents.append((found[2].upper(), found[3] or ""))
        elif pair := _PAIR.fullmatch(line):
            pairs[pair[1].lower()] = pair[2].strip()
    variant = pairs.get("createtype", "")
    sheet.facts["variant"] = variant[:64]
    if variant.lower() not in _TYPES:
        sheet.dangers.append(f"a disk of type {variant[:64] or '(none)'} is in several files")
    if pairs.get("parentcid", _NO_PARENT).lower() != _NO_PARENT or "parentfilenamehint" in pairs:
        name = pairs.get("parentfilenamehint", "?")[:255]
        sheet.facts["backing_file"] = name
        sheet.dangers.append(f"it has a parent ({name})")
    _check_extents(sheet, extents)
    if kind := pairs.get("ddb.adaptertype"):
        sheet.facts["adapter_type"] = kind[:64]


def _check_extents(sheet: Sheet, extents: list[tuple[str, str]]) -> None:
    if len(extents) != 1:
        sheet.dangers.append(f"it has {len(extents)} extents, not one")
    for kind, name in extents[:16]:
        if kind != "SPARSE":
            sheet.dangers.append(f"an extent of type {kind[:16]} is in another file")
        if "/" in name or "\\" in name:
            sheet.dangers.append(f"its extent names a path ({name[:255]})")


def _directory(head: bytes) -> int:
    (found,) = struct.unpack_from("<Q", head, 56)
    return int(found)


def _check_footer(sheet: Sheet, head: bytes, end: bytes) -> None:
    """The copy at the end is what readers go by: it must say what the header says."""
    footer = end[_SECTOR : 2 * _SECTOR]
    if len(end) < _FOOTER or _HEADER.size > len(footer):
        sheet.dangers.append("it is cut short")
    elif footer[:56] != head[:56] or _directory(footer) == _AT_END:
        sheet.dangers.append("its footer is missing or contradicts its header")
