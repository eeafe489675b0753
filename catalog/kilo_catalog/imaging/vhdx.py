"""Hyper-V's disks (vhdx): size, blocks, and a refusal of parents and of logs to be replayed.

A log that is still to be replayed would change the very things that were checked. The layout is
in Microsoft's [MS-VHDX].
"""

import struct
from uuid import UUID

from kilo_catalog.imaging.scan import Parser, Region, Sheet, take

_KIB = 1024
_HEADERS = (64 * _KIB, 128 * _KIB)
_TABLES = (192 * _KIB, 256 * _KIB)
_TABLE = 64 * _KIB
_METADATA = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
_BAT = UUID("2dc27766-f623-4200-9d64-115e9bfd4a08").bytes_le
_PARAMETERS = UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b").bytes_le
_SIZE = UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8").bytes_le
_LOGICAL_SECTOR = UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f").bytes_le
_PHYSICAL_SECTOR = UUID("cda348c7-445d-4471-9cc9-e9885251c556").bytes_le
_PAGE_83 = UUID("beca12ab-b2e6-4523-93ef-c309e000c746").bytes_le
_PARENT = UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c").bytes_le
_KNOWN = frozenset({_PARAMETERS, _SIZE, _LOGICAL_SECTOR, _PHYSICAL_SECTOR, _PAGE_83, _PARENT})
_REQUIRED = 4
_HAS_PARENT = 2
_GREATEST_SIZE = 64 << 40
_MOST_ENTRIES = 2047


def parse_vhdx(sheet: Sheet, head: bytes) -> Parser:
    """Read headers, region tables and metadata."""
    headers = []
    for offset in _HEADERS:
        headers.append((yield from take(head, offset, 4 * _KIB)))
    _check_log(sheet, headers)
    first = yield from take(head, _TABLES[0], _TABLE)
    second = yield from take(head, _TABLES[1], _TABLE)
    if len(second) < _TABLE or first != second:
        # Which of the two is used depends on their checksums.
        sheet.dangers.append("its two region tables are not the same, or cut short")
        return
    place = _find_metadata(sheet, first)
    if place is not None:
        metadata = yield Region(*place)
        _read_metadata(sheet, metadata)


def _check_log(sheet: Sheet, headers: list[bytes]) -> None:
    whole = [each for each in headers if len(each) == 4 * _KIB and each.startswith(b"head")]
    if not whole:
        sheet.dangers.append("its headers are missing")
        return
    newest = max(whole, key=lambda each: int(struct.unpack_from("<Q", each, 8)[0]))
    if any(newest[48:64]):
        sheet.dangers.append("it was not closed cleanly: its log is to be replayed first")


def _find_metadata(sheet: Sheet, table: bytes) -> tuple[int, int] | None:
    magic, _checksum, count = struct.unpack_from("<4sII", table)
    if magic != b"regi" or count > _MOST_ENTRIES:
        sheet.dangers.append("its region table is damaged")
        return None
    found = None
    for index in range(count):
        kind, offset, length, flags = struct.unpack_from("<16sQII", table, 16 + 32 * index)
        if kind == _METADATA:
            found = (offset, length)
        elif kind != _BAT and flags & 1:
            sheet.dangers.append("it needs features that we do not know")
    if found is None or found[0] < 1 << 20 or found[1] < _TABLE:
        sheet.dangers.append("its metadata is missing")
        return None
    return found


def _read_metadata(sheet: Sheet, data: bytes) -> None:
    if len(data) < _TABLE or not data.startswith(b"metadata"):
        sheet.dangers.append("its metadata is missing or cut short")
        return
    (count,) = struct.unpack_from("<H", data, 10)
    items: dict[bytes, bytes] = {}
    for index in range(min(count, _MOST_ENTRIES)):
        kind, offset, length, flags = struct.unpack_from("<16sIII", data, 32 + 32 * index)
        if kind not in _KNOWN and flags & _REQUIRED:
            sheet.dangers.append("it needs features that we do not know")
        items.setdefault(kind, data[offset : offset + min(length, 64)])
    if _PARENT in items:
        sheet.dangers.append("it has a parent")
    parameters, size = items.get(_PARAMETERS, b""), items.get(_SIZE, b"")
    if len(parameters) < 8 or len(size) < 8:
        sheet.dangers.append("its metadata is missing or cut short")
        return
    block, flags = struct.unpack_from("<II", parameters)
    (virtual_size,) = struct.unpack_from("<Q", size)
    if flags & _HAS_PARENT:
        sheet.dangers.append("it has a parent")
    if virtual_size > _GREATEST_SIZE or block < 1 << 20 or block & (block - 1):
        sheet.dangers.append("its metadata holds absurd values")
        return
    sheet.virtual_size = virtual_size
    sheet.facts["block_size"] = str(block)
    sheet.facts["variant"] = "fixed" if flags & 1 else "dynamic"
    for name, kind in (("sector_size", _LOGICAL_SECTOR), ("physical_sector", _PHYSICAL_SECTOR)):
        if len(items.get(kind, b"")) >= 4:
            sheet.facts[name] = str(struct.unpack_from("<I", items[kind])[0])
