"""Tar archives, OVAs among them: the members' headers are read as they pass, and the disks of an
OVA are inspected inside it. Member names that lead out of the folder they are unpacked in are
refused. The layout is POSIX's ustar and pax, with GNU's long names."""

from kilo_catalog.imaging.scan import HEAD, Parser, Scan, Sheet, take, text
from kilo_catalog.imaging.signatures import DISKS, recognise
from kilo_catalog.imaging.vmdk import parse_vmdk

_BLOCK = 512
_MOST_MEMBERS = 4096
_MOST_SHOWN = 16
_LONGEST_NAME = 4096
_GNU_NAME, _GNU_LINK, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"
_FILES = frozenset({b"0", b"\0", b"7"})
_LINKS = frozenset({b"1", b"2", b"3", b"4", b"6"})
"""Links and devices."""


def parse_tar(scan: Scan, sheet: Sheet, head: bytes, *, ova: bool) -> Parser:
    """Walk from header to header. An OVA begins with an OVF descriptor and holds no links; `ova`
    says that this archive must be one."""
    offset, count = 0, 0
    name, size = "", -1
    first = ""
    package = ova
    while count < _MOST_MEMBERS:
        header = yield from take(head, offset, _BLOCK)
        if len(header) < _BLOCK or not any(header):
            break
        length = _number(header[124:136])
        if length < 0 or not _sums_up(header):
            sheet.warnings.append(f"The archive is damaged at byte {offset}.")
            break
        kind = header[156:157]
        data = offset + _BLOCK
        if kind in (_GNU_NAME, _PAX, _GNU_LINK, _PAX_GLOBAL):
            value = yield from take(head, data, min(length, _LONGEST_NAME))
            name, size = _long_name(kind, value, name, size)
            offset = data + _padded(length)
            continue
        count += 1
        name = name or _short_name(header)
        length = size if size >= 0 else length
        first = first or name
        package = package or first.lower().endswith(".ovf")
        _note_member(sheet, name, kind, length, count, ova=package)
        if package and kind in _FILES and name.lower().endswith(".vmdk"):
            scan.start(_parse_disk(scan, sheet, head, name, data, length))
        offset = data + (_padded(length) if kind in _FILES else 0)
        name, size = "", -1
    else:
        sheet.warnings.append(f"It has more than {_MOST_MEMBERS} members; the rest was not read.")
    sheet.facts["members"] = str(count)
    if ova and not first.lower().endswith(".ovf"):
        sheet.dangers.append(f"its first member is {first or 'missing'}, not an OVF descriptor")


def _note_member(
    sheet: Sheet, name: str, kind: bytes, length: int, count: int, *, ova: bool
) -> None:
    if count <= _MOST_SHOWN:
        sheet.facts[f"member.{count}"] = f"{name}, {length} bytes"
    if not ova:
        return
    if name.startswith("/") or ".." in name.split("/"):
        sheet.dangers.append(f"its member {name} leads out of the archive")
    if kind in _LINKS:
        sheet.dangers.append(f"its member {name} is a link or a device")


def _parse_disk(
    scan: Scan, sheet: Sheet, archive: bytes, name: str, offset: int, length: int
) -> Parser:
    """A disk inside the archive, held to the same rules as one outside."""
    head = yield from take(archive, offset, min(HEAD, length))
    found = recognise(head)
    inner = Sheet()
    if found == "vmdk":
        yield from parse_vmdk(scan, inner, head, offset, length)
    elif found in DISKS:
        inner.dangers.append(f"it is {found}")
    for each in inner.dangers:
        sheet.dangers.append(f"the disk {name[:100]} inside is refused: {each}")
    if inner.virtual_size is not None and sheet.virtual_size is None:
        sheet.virtual_size = inner.virtual_size
    for key, value in inner.facts.items():
        sheet.facts.setdefault(f"disk.{key}", value)


def _long_name(kind: bytes, value: bytes, name: str, size: int) -> tuple[str, int]:
    if kind == _GNU_NAME:
        return text(value, limit=_LONGEST_NAME), size
    if kind == _PAX:
        records = _pax(value)
        if "path" in records:
            name = text(records["path"], limit=_LONGEST_NAME)
        if records.get("size", b"").isdigit():
            size = int(records["size"][:20])
    return name, size


def _pax(value: bytes) -> dict[str, bytes]:
    """Records of the form `LENGTH KEY=VALUE` and a line end."""
    records: dict[str, bytes] = {}
    while value:
        digits, _, _ = value[:12].partition(b" ")
        if not digits.isdigit() or not 4 < int(digits) <= len(value):
            break
        record = value[len(digits) + 1 : int(digits) - 1]
        key, _, found = record.partition(b"=")
        records[text(key)] = found
        value = value[int(digits) :]
    return records


def _short_name(header: bytes) -> str:
    name, prefix = text(header[:100]), text(header[345:500])
    return f"{prefix}/{name}" if prefix and header[257:263] == b"ustar\0" else name


def _number(field: bytes) -> int:
    """Octal digits, or binary with the first bit set; -1 if it is neither."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big") if field[0] == 0x80 else -1
    digits = field.strip(b" \0")
    if not digits:
        return 0
    return int(digits, 8) if all(0x30 <= each <= 0x37 for each in digits) else -1


def _sums_up(header: bytes) -> bool:
    expected = _number(header[148:156])
    found = sum(header[:148]) + 8 * 0x20 + sum(header[156:])
    return expected == found


def _padded(length: int) -> int:
    return (length + _BLOCK - 1) // _BLOCK * _BLOCK
