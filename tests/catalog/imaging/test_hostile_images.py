"""Whatever the bytes are: an answer, in bounded memory and in time that grows with their number."""

import io
import struct
import tarfile
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kilo_catalog.domain.findings import Findings, describe
from kilo_catalog.errors import FormatRefused
from kilo_catalog.imaging.detection import identify, open_inspector
from kilo_catalog.imaging.inspector import Inspector

KIB, MIB = 1 << 10, 1 << 20


def placed(size: int, *pieces: tuple[int, bytes]) -> bytes:
    """Zeros, with some bytes in places."""
    data = bytearray(size)
    for offset, piece in pieces:
        data[offset : offset + len(piece)] = piece
    return bytes(data)


def gpt(entries: int = 128, size: int = 128, first: int = 34) -> bytes:
    header = struct.pack("<8sIII4xQQQQ16sQIII", b"EFI PART", 65536, 92, 0, 1, 99, 34, 90, b"g" * 16,
                         2, entries, size, 0)  # fmt: skip
    entry = struct.pack("<16s16sQQQ", b"t" * 16, b"u" * 16, first, 90, 0).ljust(size, b"n")
    return placed(512 * 100, (510, b"\x55\xaa"), (512, header), (1024, entry * entries))


def tar_of(names: Iterable[str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return packed.getvalue()


def ntfs() -> bytes:
    boot = struct.pack("<3s8sHB", b"\xeb\x52\x90", b"NTFS    ", 512, 8)
    record = struct.pack("<4s16xH", b"FILE", 56).ljust(56, b"\0")
    record += struct.pack("<IIB7xIH", 0x60, 32, 0, 8, 24) + b"a\0b\0c\0d\0"
    return placed(16 * KIB, (0, boot), (48, b"\1"), (64, b"\xf6"), (510, b"\x55\xaa"),
                  (4096 + 3072, record))  # fmt: skip


def mbr(*entries: tuple[int, int, int]) -> bytes:
    table = b"".join(struct.pack("<B3xB3xII", 0, *each) for each in entries)
    return placed(512, (446, table), (510, b"\x55\xaa"))


def logical_chain(links: int) -> bytes:
    data = mbr((5, 1, links))
    for index in range(links):
        data += mbr((0x83, 1, 1), (5, index + 1, 1))
    return data


SEEDS = {
    "qcow2": placed(600, (0, struct.pack(">4sIQIIQIIQQ", b"QFI\xfb", 3, 0, 0, 16, MIB, 0, 1,
                                         0x30000, 0x10000)), (96, struct.pack(">II", 4, 112))),
    "vmdk": placed(12 * KIB, (0, struct.pack("<4sIIQQQQIQQQB4sH", b"KDMV", 1, 3, 99, 128, 1, 20,
                                             512, 0, 2**64 - 1, 0, 0, b"\n \r\n", 1)),
                   (512, b'createType="streamOptimized"\nRW 99 SPARSE "a"\n')),
    "vhd": placed(2 * KIB, (0, b"conectix"), (12, b"\0\1\0\0"), (16, struct.pack(">Q", 512)),
                  (60, struct.pack(">I", 3)), (512, b"cxsparse")),
    "vhdx": placed(1100 * KIB, (0, b"vhdxfile"), (64 * KIB, b"head"), (192 * KIB, b"regi")),
    "vdi": placed(512, (0x40, b"\x7f\x10\xda\xbe\1\0\1\0")),
    "qed": placed(512, (0, b"QED\0")),
    "ploop": placed(512, (0, b"WithouFreSpacExt\2\0\0\0")),
    "luks": placed(20 * KIB, (0, b"LUKS\xba\xbe\0\2"), (8, struct.pack(">Q", 16384)),
                   (4096, b'{"segments":{"0":{"offset":"8192"}}}')),
    "iso": placed(40 * KIB, (0x8001, b"CD001"), (0x8008 + 32, b"LABEL")),
    "gpt": gpt(),
    "mbr": logical_chain(8),
    "ntfs": ntfs(),
    "tar": tar_of(["box.ovf", "disk.vmdk", "n" * 300]),
    "gzip": b"\x1f\x8b\x08" + bytes(600),
    "xz": b"\xfd7zXZ\0" + bytes(600),
    "bzip2": b"BZh91AY&SY" + bytes(600),
}  # fmt: skip
DECLARED = ("raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi", "ploop", "iso", "gpt", "ami")


def cut(data: bytes, piece: int) -> Iterator[bytes]:
    return (data[start : start + piece] for start in range(0, len(data), piece))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A seed with some bytes changed, perhaps cut short, perhaps with more behind it."""
    data = bytearray(SEEDS[draw(st.sampled_from(sorted(SEEDS)))])
    for _ in range(draw(st.integers(0, 8))):
        place = draw(st.integers(0, min(len(data), 2048) - 1) | st.integers(0, len(data) - 1))
        piece = draw(st.binary(min_size=1, max_size=9) | st.sampled_from([b"\xff" * 8, bytes(8)]))
        data[place : place + len(piece)] = piece
    data = data[: draw(st.just(len(data)) | st.integers(0, len(data)))]
    return bytes(data) + draw(st.binary(max_size=64))


@settings(max_examples=300, deadline=2000, suppress_health_check=[HealthCheck.too_slow])
@given(mutated(), st.integers(600, 70_000), st.sampled_from(DECLARED))
def test_any_image_is_accepted_or_refused_and_described(
    data: bytes, piece: int, declared: str
) -> None:
    found = identify([data])
    assert identify(cut(data, piece)) == found
    assert describe(found, len(data))
    check_bounds(found)
    for container in ("bare", "ova", "compressed"):
        inspector = open_inspector(declared, container)
        with suppress(FormatRefused):
            for block in cut(data, piece):
                inspector.feed(block)
            check_bounds(inspector.finish())


def check_bounds(found: Findings) -> None:
    assert found.virtual_size is None or 0 <= found.virtual_size < 2**64
    assert len(found.facts) <= 64
    assert all(len(each) < 1000 for each in (*found.facts.values(), *found.warnings))


HOSTILE = {
    "as many partitions as fit, all at one place": gpt(first=40) + bytes(MIB),
    "entries of the largest size": gpt(entries=256, size=4096) + bytes(2 * MIB),
    "a long chain of logical partitions": logical_chain(4000),
    "a chain that leads back": mbr((5, 1, 9)) + mbr((5, 0, 1)) + mbr((5, 1, 1)) + bytes(MIB),
    "a tar of nothing but headers": tar_of(f"{number}.vmdk" for number in range(6000)),
    "a tar of long names": tar_of("n" * 5000 + str(number) for number in range(300)),
    "a tar of names that lead out": tar_of(["a.ovf", *(f"../{n}" for n in range(6000))]),
    "an NTFS whose records repeat": ntfs().replace(struct.pack("<II", 0x60, 32), bytes(8)),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=[*HOSTILE])
def test_a_hostile_image_costs_little(data: bytes) -> None:
    tracemalloc.start()
    found = identify(cut(data, 65536))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8 * MIB
    check_bounds(found)
    began = time.process_time()
    assert identify([data]) == found
    assert time.process_time() - began < 1.0


def test_tiny_blocks_cost_no_more_than_their_number() -> None:
    data = gpt() + bytes(100_000)
    expected = identify([data])
    began = time.process_time()
    assert identify(cut(data, 1)) == expected
    assert time.process_time() - began < 3.0


def identify_as(inspector: Inspector, data: bytes) -> Findings:
    inspector.feed(data)
    return inspector.finish()


def check_refused(archive: bytes, reason: str) -> None:
    inspector = open_inspector("vmdk", "ova")
    with pytest.raises(FormatRefused, match=reason):
        identify_as(inspector, archive)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/../../b"])
def test_an_ova_whose_members_lead_out_is_refused(name: str) -> None:
    check_refused(tar_of(["box.ovf", name]), "leads out")


def test_an_ova_begins_with_its_descriptor_and_holds_no_links() -> None:
    check_refused(tar_of(["disk.vmdk"]), "not an OVF descriptor")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("box.ovf"))
        link = tarfile.TarInfo("disk")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    check_refused(packed.getvalue(), "a link or a device")


def test_an_ova_with_a_disk_that_leads_elsewhere_is_refused() -> None:
    text = b'# Disk DescriptorFile\nversion=1\nRW 1 FLAT "/etc/shadow" 0\n'
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("box.ovf"))
        disk = tarfile.TarInfo("disk.vmdk")
        disk.size = len(text)
        archive.addfile(disk, io.BytesIO(text))
    check_refused(packed.getvalue(), r"the disk disk\.vmdk inside is refused")
