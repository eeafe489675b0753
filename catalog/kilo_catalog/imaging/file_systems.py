"""Which file system a piece of disk holds, told from its first bytes."""

import struct
from collections.abc import Callable, Generator

from msgspec import Struct

from kilo_catalog.imaging.scan import Region, take, text

_BTRFS = 0x10000
_EXT = 1024
_EXT3_JOURNAL = 0x4
_EXT4_FEATURES = 0x0040 | 0x0080 | 0x0200 | 0x8000
"""Incompatible features that only ext4 has: extents, 64 bit, flexible groups, inline data."""
_VOLUME_NAME = 0x60


class FileSystem(Struct, frozen=True):
    """What was found."""

    kind: str
    """As `blkid` calls it."""
    label: str = ""
    uuid: str = ""


def recognise_file_system(head: bytes) -> FileSystem | None:
    """The file system that begins with these bytes (HEAD of them, or all there are)."""
    for look in _LOOKS:
        found = look(head)
        if found is not None:
            return found
    return None


def read_ntfs_label(head: bytes, base: int) -> Generator[Region, bytes, str]:
    """The label of an NTFS that begins at `base`: it is in record 3 of the master file table."""
    sector, clusters = struct.unpack_from("<HB", head, 11)
    (table,) = struct.unpack_from("<Q", head, 48)
    (scale,) = struct.unpack_from("<b", head, 64)
    cluster = sector * clusters
    size = 1 << -scale if scale < 0 else scale * cluster
    if not 512 <= size <= 65536 or table > 1 << 52:
        return ""
    record = yield from take(head, table * cluster + 3 * size, size, base)
    if len(record) < size or not record.startswith(b"FILE"):
        return ""
    (offset,) = struct.unpack_from("<H", record, 20)
    while offset + 24 <= size:
        kind, length, resident = struct.unpack_from("<IIB", record, offset)
        if kind == _VOLUME_NAME and not resident:
            count, start = struct.unpack_from("<IH", record, offset + 16)
            return text(record[offset + start : offset + start + min(count, 512)], "utf-16-le")
        if length < 16:
            break
        offset += length
    return ""


def _ext(head: bytes) -> FileSystem | None:
    block = head[_EXT : _EXT + 1024]
    if len(block) < 264 or block[56:58] != b"\x53\xef":
        return None
    compatible, incompatible = struct.unpack_from("<II", block, 92)
    kind = "ext2"
    if incompatible & _EXT4_FEATURES:
        kind = "ext4"
    elif compatible & _EXT3_JOURNAL:
        kind = "ext3"
    return FileSystem(kind, text(block[120:136]), _uuid(block[104:120]))


def _xfs(head: bytes) -> FileSystem | None:
    if not head.startswith(b"XFSB") or len(head) < 120:
        return None
    return FileSystem("xfs", text(head[108:120]), _uuid(head[32:48]))


def _btrfs(head: bytes) -> FileSystem | None:
    block = head[_BTRFS:]
    if block[0x40:0x48] != b"_BHRfS_M":
        return None
    return FileSystem("btrfs", text(block[0x12B:0x22B]), _uuid(block[0x20:0x30]))


def _fat(head: bytes) -> FileSystem | None:
    if head[510:512] != b"\x55\xaa":
        return None
    if head[82:87] == b"FAT32":
        label, serial = head[71:82], head[67:71]
    elif head[54:59] in (b"FAT12", b"FAT16"):
        label, serial = head[43:54], head[39:43]
    else:
        return None
    name = text(label, "cp437")
    (number,) = struct.unpack("<I", serial)
    return FileSystem(
        "vfat", "" if name == "NO NAME" else name, f"{number >> 16:04X}-{number & 0xFFFF:04X}"
    )


def _ntfs(head: bytes) -> FileSystem | None:
    if head[3:11] != b"NTFS    " or len(head) < 512:
        return None
    (serial,) = struct.unpack_from("<Q", head, 72)
    return FileSystem("ntfs", "", f"{serial:016X}")


def _exfat(head: bytes) -> FileSystem | None:
    return FileSystem("exfat") if head[3:11] == b"EXFAT   " else None


def _swap(head: bytes) -> FileSystem | None:
    if head[4086:4096] not in (b"SWAPSPACE2", b"SWAP-SPACE"):
        return None
    return FileSystem("swap", text(head[1052:1068]), _uuid(head[1036:1052]))


def _lvm(head: bytes) -> FileSystem | None:
    for start in range(0, 2048, 512):
        if head[start : start + 8] == b"LABELONE" and head[start + 24 : start + 29] == b"LVM2 ":
            return FileSystem("LVM2_member", "", text(head[start + 32 : start + 64]))
    return None


def _luks(head: bytes) -> FileSystem | None:
    if not head.startswith(b"LUKS\xba\xbe"):
        return None
    label = text(head[24:72]) if head[6:8] == b"\0\2" else ""
    return FileSystem("crypto_LUKS", label, text(head[168:208]))


def _iso(head: bytes) -> FileSystem | None:
    if head[0x8001:0x8006] != b"CD001":
        return None
    return FileSystem("iso9660", text(head[0x8028:0x8048]))


def _squashfs(head: bytes) -> FileSystem | None:
    return FileSystem("squashfs") if head.startswith(b"hsqs") else None


def _uuid(data: bytes) -> str:
    digits = data.hex()
    if len(digits) != 32 or not any(data):
        return ""
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


_LOOKS: tuple[Callable[[bytes], FileSystem | None], ...] = (
    _luks, _lvm, _ext, _xfs, _btrfs, _ntfs, _exfat, _fat, _swap, _iso, _squashfs,
)  # fmt: skip
