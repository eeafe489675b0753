"""Raw disks: their partition table (GPT or MBR), and the file systems on them.

GPT is described in the UEFI specification, chapter 5. A disk without a table may hold one file
system as a whole.
"""

import struct
import zlib
from collections.abc import Generator, Iterator

from msgspec import Struct, structs

from kilo_catalog.imaging.file_systems import (
    FileSystem,
    read_ntfs_label,
    recognise_file_system,
)
from kilo_catalog.imaging.scan import HEAD, Parser, Region, Scan, Sheet, take, text

_MBR_TYPES = {
    0x01: "FAT12", 0x04: "FAT16", 0x06: "FAT16", 0x07: "NTFS or exFAT", 0x0B: "FAT32",
    0x0C: "FAT32", 0x0E: "FAT16", 0x82: "Linux swap", 0x83: "Linux", 0x8E: "Linux LVM",
    0xA5: "FreeBSD", 0xEE: "GPT protective", 0xEF: "EFI system", 0xFD: "Linux RAID",
}  # fmt: skip
_EXTENDED = frozenset({0x05, 0x0F, 0x85})
_MOST_LOGICAL = 60
_MOST_ENTRIES = 256
_MOST_SHOWN = 32
_WHOLE_DISK = frozenset({"vfat", "ntfs", "exfat"})
"""File systems whose first sector looks like an MBR."""


class Partition(Struct, frozen=True):
    """One entry of a table; offsets in bytes."""

    number: int
    offset: int
    size: int
    kind: str = ""
    name: str = ""


def parse_raw(scan: Scan, sheet: Sheet, head: bytes) -> Parser:
    """The table and what is on the partitions, or the file system of the whole."""
    sector = next((each for each in (512, 4096) if head[each : each + 8] == b"EFI PART"), 0)
    if sector:
        yield from _parse_gpt(scan, sheet, head, sector)
        return
    found = recognise_file_system(head)
    if found is not None:
        found = yield from _complete(found, head, 0)
        _note(sheet, found)
    if found is None or found.kind not in _WHOLE_DISK:
        _parse_mbr(scan, sheet, head)


def _note(sheet: Sheet, found: FileSystem) -> None:
    sheet.facts["file_system"] = found.kind
    if found.kind == "crypto_LUKS":
        sheet.facts["encrypted"] = "luks"
    if found.label:
        sheet.facts["label"] = found.label
    if found.uuid:
        sheet.facts["uuid"] = found.uuid


def _complete(found: FileSystem, head: bytes, base: int) -> Generator[Region, bytes, FileSystem]:
    if found.kind == "ntfs":
        label = yield from read_ntfs_label(head, base)
        return structs.replace(found, label=label)
    return found


def _parse_gpt(scan: Scan, sheet: Sheet, head: bytes, sector: int) -> Parser:
    header = head[sector : sector + 92]
    sheet.facts["partition_table"] = "gpt"
    if len(header) < 92:
        sheet.warnings.append("Its partition table is cut short.")
        return
    length, checksum = struct.unpack_from("<II", header, 12)
    blank = header[:16] + bytes(4) + header[20:]
    if length == 92 and zlib.crc32(blank) != checksum:
        sheet.warnings.append("The checksum of its partition table is wrong.")
    (last,) = struct.unpack_from("<Q", header, 32)
    place, count, size = struct.unpack_from("<QII", header, 72)
    sheet.facts["sector_size"] = str(sector)
    sheet.facts["uuid"] = _guid(header[56:72])
    if not 128 <= size <= 4096 or place > 1 << 40:
        sheet.warnings.append("Its partition table holds absurd values.")
        return
    entries = yield from take(head, place * sector, min(count, _MOST_ENTRIES) * size)
    found = list(_gpt_entries(entries, size, sector))
    sheet.facts["partitions"] = str(len(found))
    for partition in found:
        _look_into(scan, sheet, head, partition)

    def check(total: int, _tail: bytes) -> None:
        if (last + 1) * sector > total:
            sheet.warnings.append("It is cut short: the copy of its partition table is missing.")

    scan.at_end(check)


def _gpt_entries(entries: bytes, size: int, sector: int) -> Iterator[Partition]:
    for index in range(len(entries) // size):
        entry = entries[index * size : index * size + 128]
        if not any(entry[:16]):
            continue
        first, last = struct.unpack_from("<QQ", entry, 32)
        name = text(_utf16(entry[56:128]), "utf-16-le")
        if first <= last < 1 << 50:
            yield Partition(
                index + 1, first * sector, (last - first + 1) * sector, _guid(entry[:16]), name
            )


def _utf16(data: bytes) -> bytes:
    """Up to the first NUL character, which is two bytes wide."""
    for index in range(0, len(data), 2):
        if data[index : index + 2] == b"\0\0":
            return data[:index]
    return data


def _parse_mbr(scan: Scan, sheet: Sheet, head: bytes) -> None:
    table = head[:512]
    entries = list(_mbr_entries(table))
    if len(table) < 512 or table[510:] != b"\x55\xaa" or not entries:
        return
    if any(table[446 + 16 * index] not in (0, 0x80) for index in range(4)):
        return
    sheet.facts["partition_table"] = "mbr"
    sheet.facts["partitions"] = str(len(entries))
    for number, kind, start, sectors in entries:
        if kind in _EXTENDED:
            scan.start(_parse_logical(scan, sheet, head, start))
        else:
            _look_into(scan, sheet, head, _mbr_partition(number, kind, start, sectors))


def _mbr_entries(table: bytes) -> Iterator[tuple[int, int, int, int]]:
    for index in range(4):
        entry = table[446 + 16 * index : 462 + 16 * index]
        if len(entry) == 16 and entry[4]:
            start, sectors = struct.unpack_from("<II", entry, 8)
            yield index + 1, entry[4], start, sectors


def _mbr_partition(number: int, kind: int, start: int, sectors: int) -> Partition:
    name = _MBR_TYPES.get(kind, f"type {kind:#04x}")
    return Partition(number, start * 512, sectors * 512, name)


def _parse_logical(scan: Scan, sheet: Sheet, head: bytes, extended: int) -> Parser:
    """The chain of logical partitions; each link must lie behind the one before."""
    here = extended
    for number in range(5, 5 + _MOST_LOGICAL):
        table = yield from take(head, here * 512, 512)
        if len(table) < 512 or table[510:] != b"\x55\xaa":
            return
        following = 0
        for index, kind, start, sectors in _mbr_entries(table):
            if index == 1:
                partition = _mbr_partition(number, kind, here + start, sectors)
                _look_into(scan, sheet, head, partition)
            elif kind in _EXTENDED:
                following = extended + start
        if following <= here:
            return
        here = following


def _look_into(scan: Scan, sheet: Sheet, disk: bytes, partition: Partition) -> None:
    fact = f"partition.{partition.number}"
    if sum(each.startswith("partition.") for each in sheet.facts) >= _MOST_SHOWN:
        return
    sheet.facts[fact] = _describe(partition, None)

    def look() -> Parser:
        length = min(HEAD, max(partition.size, 512))
        head = yield from take(disk, partition.offset, length)
        found = recognise_file_system(head)
        if found is not None:
            found = yield from _complete(found, head, partition.offset)
            sheet.facts[fact] = _describe(partition, found)

    scan.start(look())


def _describe(partition: Partition, found: FileSystem | None) -> str:
    parts = [found.kind if found is not None else partition.kind]
    if found is not None and found.label:
        parts.append(f"label {found.label}")
    if partition.name:
        parts.append(f"name {partition.name}")
    parts.append(f"{partition.size} bytes at {partition.offset}")
    return ", ".join(parts)


_GUIDS = {
    "0fc63daf-8483-4772-8e79-3d69d8477de4": "Linux",
    "c12a7328-f81f-11d2-ba4b-00a0c93ec93b": "EFI system",
    "21686148-6449-6e6f-744e-656564454649": "BIOS boot",
    "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": "Basic data",
    "e3c9e316-0b5c-4db8-817d-f92df00215ae": "Microsoft reserved",
    "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "Linux swap",
    "e6d6d379-f507-44c2-a23c-238f2a3df928": "Linux LVM",
    "4f68bce3-e8cd-4db1-96e7-fbcaf984b709": "Linux root (x86-64)",
    "b921b045-1df0-41c3-af44-4c6f280d3fae": "Linux root (ARM-64)",
}


def _guid(data: bytes) -> str:
    digits = data[3::-1].hex(), data[5:3:-1].hex(), data[7:5:-1].hex(), data[8:10].hex()
    found = "-".join((*digits, data[10:16].hex()))
    return _GUIDS.get(found, found)
