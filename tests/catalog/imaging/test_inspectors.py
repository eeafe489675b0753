"""Images are recognised from their bytes, in whatever pieces these come."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilo_catalog.errors import FormatRefused
from kilo_catalog.imaging.detection import identify, open_inspector

MIB = 1 << 20


def inspect(data: bytes, disk: str, container: str = "bare", piece: int = 7) -> int | None:
    inspector = open_inspector(disk, container)
    for start in range(0, len(data), piece):
        inspector.feed(data[start : start + piece])
    return inspector.finish().virtual_size


def header(
    *,
    version: int = 3,
    backing: int = 0,
    cluster_bits: int = 16,
    size: int = 10 * MIB,
    crypt: int = 0,
    l1_entries: int = 1,
    l1_offset: int = 0x30000,
    features: int = 0,
    order: int = 4,
    length: int = 104,
) -> bytes:
    old = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", version, backing, 0, cluster_bits, size, crypt,
        l1_entries, l1_offset, 0x10000, 1, 0, 0,
    )  # fmt: skip
    new = struct.pack(">QQQII", features, 0, 0, order, length)
    return old + (new if version == 3 else b"") + bytes(1000)


def test_raw_data_is_as_big_as_it_is() -> None:
    assert inspect(b"x" * 1000, "raw") == 1000
    assert inspect(b"", "raw") == 0


def test_a_qcow2_header_tells_the_size_of_the_disk() -> None:
    assert inspect(header(), "qcow2") == 10 * MIB
    assert inspect(header(version=2), "qcow2") == 10 * MIB
    assert inspect(header(features=0b10011), "qcow2") == 10 * MIB


def test_a_qcow2_tells_its_encryption() -> None:
    assert identify([header(crypt=2)]).facts["encrypted"] == "luks"
    assert "encrypted" not in identify([header()]).facts


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"backing": 512}, "backing file"),
        ({"features": 4}, "external data file"),
        ({"features": 8}, "features"),
        ({"features": 32}, "features"),
        ({"features": 1 << 63}, "features"),
        ({"version": 1}, "version"),
        ({"version": 4}, "version"),
        ({"cluster_bits": 8}, "clusters"),
        ({"cluster_bits": 2**32 - 1}, "clusters"),
        ({"size": 2**64 - 1}, "absurd"),
        ({"crypt": 3}, "absurd"),
        ({"l1_entries": 2**32 - 1}, "absurd"),
        ({"l1_offset": 1}, "tables"),
        ({"l1_entries": 0}, "too small"),
        ({"order": 7}, "absurd"),
        ({"length": 96}, "absurd"),
        ({"length": 2**31}, "absurd"),
    ],
)
def test_an_unsafe_qcow2_is_refused(changes: dict[str, int], reason: str) -> None:
    with pytest.raises(FormatRefused, match=reason):
        inspect(header(**changes), "qcow2")


@pytest.mark.parametrize("length", [0, 3, 4, 71, 103])
def test_a_header_that_is_cut_short_is_refused(length: int) -> None:
    with pytest.raises(FormatRefused):
        inspect(header()[:length], "qcow2")


@pytest.mark.parametrize(
    ("disk", "container"),
    [("raw", "bare"), ("vmdk", "bare"), ("iso", "bare"), ("raw", "ova"), ("ami", "ami")],
)
def test_qcow2_does_not_hide_under_another_name(disk: str, container: str) -> None:
    with pytest.raises(FormatRefused, match="the data is qcow2"):
        inspect(header(), disk, container)


@pytest.mark.parametrize(
    ("disk", "data"), [("qcow2", b"KDMV" + bytes(600)), ("raw", b"vhdxfile"), ("vhd", b"QED\0")]
)
def test_other_containers_do_not_either(disk: str, data: bytes) -> None:
    with pytest.raises(FormatRefused):
        inspect(data, disk)


@pytest.mark.parametrize("disk", ["vmdk", "vhd", "vhdx", "vdi", "ploop", "iso", "gpt"])
def test_what_is_called_a_format_must_be_of_it(disk: str) -> None:
    with pytest.raises(FormatRefused, match=f"declared to be {disk}, but the data"):
        inspect(bytes(40000), disk)


@pytest.mark.parametrize(("disk", "container"), [("raw", "compressed"), ("vmdk", "ova")])
def test_what_is_called_a_container_must_be_one(disk: str, container: str) -> None:
    with pytest.raises(FormatRefused, match=f"declared to be {container}, but the data is raw"):
        inspect(bytes(4000), disk, container)


@pytest.mark.parametrize(
    "text",
    [
        b'# Disk DescriptorFile\nversion=1\nRW 1 FLAT "/etc/passwd" 0\n',
        b"# anything\n\n # not a comment\n",
        b"#x\n\n  \nversion=1\n",
        b"version=3\r\n",
    ],
)
def test_the_text_of_a_vmdk_does_not_pass_as_raw(text: bytes) -> None:
    if b"version" not in text:
        assert inspect(text, "raw") == len(text)
        return
    with pytest.raises(FormatRefused, match="the data is vmdk"):
        inspect(text, "raw")
    with pytest.raises(FormatRefused, match="only a descriptor"):
        inspect(text, "vmdk")


@given(st.binary(max_size=700), st.sampled_from(["raw", "qcow2", "vmdk"]), st.integers(1, 600))
def test_any_bytes_are_accepted_or_refused(data: bytes, disk: str, piece: int) -> None:
    for bytes_seen in (data, header()[:8] + data):
        try:
            size = inspect(bytes_seen, disk, piece=piece)
        except FormatRefused:
            continue
        assert size is None or size >= 0


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
@pytest.mark.parametrize(
    "options", ["compat=1.1", "compat=0.10", "cluster_size=2M", "extended_l2=on"]
)
def test_what_qemu_makes_is_accepted(tmp_path: Path, options: str) -> None:
    disk = tmp_path / "disk.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, str(disk), "3G"], check=True
    )
    assert inspect(disk.read_bytes(), "qcow2", piece=4096) == 3 << 30
