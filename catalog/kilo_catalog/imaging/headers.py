"""Formats that one header describes: vdi, qed, ploop, luks, iso."""

import struct
from collections.abc import Mapping

import msgspec

from kilo_catalog.imaging.scan import Scan, Sheet, text

_GREATEST_SIZE = 1 << 62
_VDI_TYPES = {1: "dynamic", 2: "fixed", 3: "undo", 4: "differencing"}
_QED = struct.Struct("<4sIIIQQQQQII")
_PLOOP = struct.Struct("<16sIIIIIQIIIQ")
_IN_USE = 0x746F6E59
_ISO_SECTOR = 2048


class _Luks2Segment(msgspec.Struct):
    offset: str


class _Luks2(msgspec.Struct):
    segments: Mapping[str, _Luks2Segment]


def parse_vdi(scan: Scan, sheet: Sheet, head: bytes) -> None:
    """VirtualBox's disks, version 1.1."""
    if len(head) < 0x1B8:
        sheet.dangers.append("its header is cut short")
        return
    (version,) = struct.unpack_from("<I", head, 0x44)
    (kind,) = struct.unpack_from("<I", head, 0x4C)
    sector, _spare, size, block = struct.unpack_from("<IIQI", head, 0x168)
    if version != 0x00010001:
        sheet.dangers.append(f"its version is {version >> 16}.{version & 0xFFFF}, not 1.1")
        return
    sheet.facts["variant"] = _VDI_TYPES.get(kind, str(kind))
    if kind not in (1, 2) or any(head[0x1A8:0x1B8]):
        sheet.dangers.append("it is a differencing disk: the rest is in its parent")
    if size > _GREATEST_SIZE or sector != 512 or block < 512 or block & (block - 1):
        sheet.dangers.append("its header holds absurd values")
        return
    sheet.virtual_size = size
    sheet.facts["block_size"] = str(block)
    (data,) = struct.unpack_from("<I", head, 0x158)
    (allocated,) = struct.unpack_from("<I", head, 0x184)

    def measure(found: int, _tail: bytes) -> None:
        # The last block may be shorter than the others.
        if allocated and found <= data + (allocated - 1) * block:
            sheet.dangers.append("it is cut short")

    scan.at_end(measure)


def parse_qed(sheet: Sheet, head: bytes) -> None:
    """QEMU's former format. No image may be declared so; it is known for what it is."""
    if len(head) < _QED.size:
        sheet.dangers.append("its header is cut short")
        return
    _, cluster, _, _, features, _, _, _, size, offset, length = _QED.unpack_from(head)
    sheet.virtual_size = size
    sheet.facts["cluster_size"] = str(cluster)
    if features & 1:
        name = text(head[offset : offset + min(length, 1023)])
        sheet.facts["backing_file"] = name
        sheet.dangers.append(f"it has a backing file ({name})")
    if features & ~0b111:
        sheet.dangers.append("it needs features that we do not know")


def parse_ploop(sheet: Sheet, head: bytes) -> None:
    """Parallels' and Virtuozzo's expanding disks."""
    if len(head) < _PLOOP.size:
        sheet.dangers.append("its header is cut short")
        return
    magic, version, _, _, cluster, _entries, sectors, in_use, *_ = _PLOOP.unpack_from(head)
    if magic == b"WithoutFreeSpace":
        sectors &= 0xFFFFFFFF
    if version != 2 or not cluster or sectors > _GREATEST_SIZE // 512:
        sheet.dangers.append("its header holds absurd values")
        return
    sheet.virtual_size = sectors * 512
    sheet.facts["cluster_size"] = str(cluster * 512)
    if in_use == _IN_USE:
        sheet.warnings.append("It was not closed cleanly.")


def parse_luks(scan: Scan, sheet: Sheet, head: bytes) -> None:
    """A disk that is encrypted as a whole."""
    if len(head) < 592:
        sheet.dangers.append("its header is cut short")
        return
    (version,) = struct.unpack_from(">H", head, 6)
    sheet.facts["encrypted"] = f"luks{version}"
    if version == 2:
        sheet.facts["label"] = text(head[24:72])
        sheet.facts["uuid"] = text(head[168:208])
        payload = _luks2_payload(head)
    else:
        (sectors,) = struct.unpack_from(">I", head, 104)
        payload = sectors * 512
        sheet.facts["cipher"] = f"{text(head[8:40])}-{text(head[40:72])}"
        sheet.facts["uuid"] = text(head[168:208])

    def measure(size: int, _tail: bytes) -> None:
        sheet.virtual_size = max(size - payload, 0) if payload else size

    scan.at_end(measure)


def _luks2_payload(head: bytes) -> int:
    """Where the encrypted data begins, as the JSON behind the header says; 0 if it does not."""
    (length,) = struct.unpack_from(">Q", head, 8)
    area = head[4096 : min(length, len(head))].split(b"\0", 1)[0]
    try:
        segments = msgspec.json.decode(area, type=_Luks2).segments
        return min((int(each.offset) for each in segments.values()), default=0)
    except (msgspec.MsgspecError, ValueError):
        return 0


def parse_iso(scan: Scan, sheet: Sheet, head: bytes) -> None:
    """A CD or DVD: ISO 9660, or UDF alone."""
    primary = head[16 * _ISO_SECTOR : 17 * _ISO_SECTOR]
    expected = 0
    if primary[1:6] == b"CD001" and len(primary) == _ISO_SECTOR:
        sheet.facts["file_system"] = "iso9660"
        sheet.facts["label"] = text(primary[40:72])
        (blocks,) = struct.unpack_from("<I", primary, 80)
        (block,) = struct.unpack_from("<H", primary, 128)
        expected = blocks * block
        if head[17 * _ISO_SECTOR + 7 :].startswith(b"EL TORITO"):
            sheet.facts["bootable"] = "el-torito"
    elif primary[1:6] == b"BEA01":
        sheet.facts["file_system"] = "udf"

    def measure(size: int, _tail: bytes) -> None:
        sheet.virtual_size = size
        if size < expected:
            sheet.warnings.append(f"It is cut short: {size} of {expected} bytes.")

    scan.at_end(measure)
