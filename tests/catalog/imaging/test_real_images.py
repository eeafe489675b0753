"""What the common tools make is recognised for what it is, however it is cut into blocks."""

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kilo_catalog.domain.findings import Findings
from kilo_catalog.errors import FormatRefused
from kilo_catalog.imaging.detection import identify, open_inspector

MIB = 1 << 20
Made = Callable[..., Path]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Makes an image of a size with a tool (looked for in sbin too), or skips without it."""

    def make(name: str, size: int, *command: str, stdin: str = "") -> Path:
        path = tmp_path / name
        run(path, size, *command, stdin=stdin)
        return path

    return make


def run(path: Path, size: int, *command: str, stdin: str = "") -> None:
    tool = shutil.which(command[0], path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
    if tool is None:
        message = f"{command[0]} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    if size:
        path.touch()
        with path.open("r+b") as file:
            file.truncate(size)
    words = [each.replace("{}", str(path)) for each in command[1:]]
    subprocess.run([tool, *words], input=stdin.encode(), check=True, capture_output=True)


def blocks(path: Path, size: int) -> list[bytes]:
    data = path.read_bytes()
    return [data[start : start + size] for start in range(0, len(data), size)]


def look(path: Path) -> Findings:
    """What is found is the same whatever the blocks are."""
    whole = identify(blocks(path, 1 << 30))
    for size in (4095, 65537):
        assert identify(blocks(path, size)) == whole
    return whole


def accept(path: Path, disk: str, container: str = "bare") -> Findings:
    inspector = open_inspector(disk, container)
    for block in blocks(path, MIB):
        inspector.feed(block)
    return inspector.finish()


@pytest.mark.parametrize(
    ("kind", "size", "label", "command"),
    [
        ("ext2", 8, "two", ["mkfs.ext2", "-q", "-L", "two", "{}"]),
        ("ext3", 8, "three", ["mkfs.ext3", "-q", "-L", "three", "{}"]),
        ("ext4", 8, "rootfs", ["mkfs.ext4", "-q", "-L", "rootfs", "{}"]),
        ("xfs", 310, "data", ["mkfs.xfs", "-q", "-L", "data", "{}"]),
        ("btrfs", 120, "tree", ["mkfs.btrfs", "-q", "-L", "tree", "{}"]),
        ("vfat", 40, "BOOT", ["mkfs.vfat", "-F", "32", "-n", "BOOT", "{}"]),
        ("vfat", 10, "SMALL", ["mkfs.vfat", "-F", "16", "-n", "SMALL", "{}"]),
        ("ntfs", 10, "my windows", ["mkntfs", "-q", "-F", "-L", "my windows", "{}"]),
        ("swap", 4, "page", ["mkswap", "-L", "page", "{}"]),
    ],
)
def test_a_file_system_is_told_with_its_label(
    made: Made, kind: str, size: int, label: str, command: list[str]
) -> None:
    found = identify(blocks(made("disk", size * MIB, *command), MIB))
    assert found.format == "raw"
    assert found.virtual_size == size * MIB
    assert (found.facts["file_system"], found.facts["label"]) == (kind, label)
    assert "partition_table" not in found.facts


def test_the_partitions_of_a_gpt_are_told(made: Made) -> None:
    table = 'label: gpt\nsize=10M, type=U, name=boot\nsize=20M, name="my root"\n'
    disk = made("disk", 40 * MIB, "sfdisk", "-q", "{}", stdin=table)
    inner = made("inner", 20 * MIB, "mkfs.ext4", "-q", "-L", "cloud", "{}")
    with disk.open("r+b") as file:
        file.seek(11 * MIB)
        file.write(inner.read_bytes())
    found = look(disk)
    assert found.facts["partition_table"] == "gpt"
    assert found.facts["partitions"] == "2"
    assert found.facts["partition.1"] == f"EFI system, name boot, {10 * MIB} bytes at {MIB}"
    assert found.facts["partition.2"].startswith("ext4, label cloud, name my root")
    assert found.warnings == ()
    assert accept(disk, "gpt") == accept(disk, "raw") == found
    with disk.open("r+b") as file:
        file.truncate(39 * MIB)
    assert "cut short" in str(look(disk).warnings)


def test_the_partitions_of_an_mbr_are_told_and_the_logical_ones(made: Made) -> None:
    table = (
        "label: dos\nsize=4M, type=c\nsize=20M, type=5\n"
        "start=32M, size=4M\nstart=8M, size=4M\nstart=14M, size=4M\n"
    )
    disk = made("disk", 40 * MIB, "sfdisk", "-q", "{}", stdin=table)
    found = look(disk)
    assert found.facts["partition_table"] == "mbr"
    numbers = {each for each in found.facts if each.startswith("partition.")}
    assert numbers == {"partition.1", "partition.3", "partition.5", "partition.6"}
    assert found.facts["partition.1"] == f"FAT32, {4 * MIB} bytes at {MIB}"
    with pytest.raises(FormatRefused, match="no GPT"):
        accept(disk, "gpt")


@pytest.mark.parametrize(("version", "label"), [("luks1", None), ("luks2", "vault")])
def test_an_encrypted_disk_is_told(made: Made, version: str, label: str | None) -> None:
    words = ["cryptsetup", "-q", "luksFormat", "--type", version, "--pbkdf", "pbkdf2"]
    words += ["--pbkdf-force-iterations", "1000", *(["--label", label] if label else [])]
    found = look(made("disk", 20 * MIB, *words, "{}", "-", stdin="secret"))
    assert (found.format, found.facts["encrypted"]) == ("luks", version)
    assert found.facts.get("label") == label
    assert found.virtual_size is not None
    assert 0 < found.virtual_size < 20 * MIB


def test_a_cd_is_told_with_its_label(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a").write_text("hello")
    cd = made("cd", 0, "genisoimage", "-quiet", "-V", "MY CD", "-o", "{}", str(folder))
    found = accept(cd, "iso")
    assert found == look(cd)
    assert (found.format, found.facts["label"]) == ("iso", "MY CD")
    assert found.virtual_size == cd.stat().st_size


QEMU = [
    ("qcow2", "qcow2", "compat=1.1"),
    ("qcow2", "qcow2", "compat=0.10"),
    ("qcow2", "qcow2", "cluster_size=2M"),
    ("qcow2", "qcow2", "extended_l2=on"),
    ("qcow2", "qcow2", "compression_type=zstd"),
    ("vmdk", "vmdk", "subformat=monolithicSparse"),
    ("vpc", "vhd", "subformat=dynamic"),
    ("vpc", "vhd", "subformat=fixed"),
    ("vpc", "vhd", "force_size=on"),
    ("vhdx", "vhdx", "subformat=dynamic"),
    ("vhdx", "vhdx", "subformat=fixed"),
    ("vdi", "vdi", "static=off"),
    ("vdi", "vdi", "static=on"),
    ("parallels", "ploop", "cluster_size=1M"),
]


@pytest.mark.parametrize(("driver", "name", "options"), QEMU)
def test_the_disks_that_qemu_makes_are_accepted(
    made: Made, driver: str, name: str, options: str
) -> None:
    disk = made("disk", 0, "qemu-img", "create", "-q", "-f", driver, "-o", options, "{}", "12M")
    found = accept(disk, name)
    assert found == look(disk)
    assert found.format == name
    # Without an exact size qemu rounds a vhd up to its geometry, as we read it.
    assert found.virtual_size is not None
    assert 12 * MIB <= found.virtual_size <= 12 * MIB + (64 << 10)
    assert found.warnings == ()
    with pytest.raises(FormatRefused):
        accept(disk, "iso")
    if options != "subformat=fixed" or name != "vhd":
        with pytest.raises(FormatRefused, match=f"the data is {name}"):
            accept(disk, "raw")


@pytest.mark.parametrize(
    ("driver", "options", "reason"),
    [
        ("qcow2", "data_file={}.data", "external data file"),
        ("vmdk", "subformat=monolithicFlat", "only a descriptor"),
        ("vmdk", "subformat=twoGbMaxExtentSparse", "only a descriptor"),
    ],
)
def test_a_disk_in_several_files_is_refused(
    made: Made, driver: str, options: str, reason: str
) -> None:
    words = ["qemu-img", "create", "-q", "-f", driver, "-o", options]
    disk = made("disk.vmdk", 0, *words, "{}", "1M")
    with pytest.raises(FormatRefused, match=reason):
        accept(disk, driver)
    assert any(reason in each for each in identify(blocks(disk, MIB)).warnings)


@pytest.mark.parametrize(("driver", "name"), [("qcow2", "qcow2"), ("vmdk", "vmdk"), ("qed", "qed")])
def test_a_disk_with_a_backing_file_is_refused(made: Made, driver: str, name: str) -> None:
    base = made("base", 0, "qemu-img", "create", "-q", "-f", driver, "{}", "1M")
    words = ["qemu-img", "create", "-q", "-f", driver, "-b", str(base), "-F", driver]
    disk = made("disk", 0, *words, "{}")
    assert look(disk).facts["backing_file"] == str(base)
    with pytest.raises(FormatRefused):
        accept(disk, name)


def test_a_stream_optimised_disk_is_accepted_alone_and_in_an_ova(
    made: Made, tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    raw.write_bytes(b"hello" * 100_000)
    words = ["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized"]
    disk = made("disk.vmdk", 0, *words, str(raw), "{}")
    found = accept(disk, "vmdk")
    assert found == look(disk)
    assert found.facts["variant"] == "streamOptimized"
    (tmp_path / "box.ovf").write_text("<Envelope/>")
    ova = tmp_path / "box.ova"
    with tarfile.open(ova, "w") as archive:
        archive.add(tmp_path / "box.ovf", "box.ovf")
        archive.add(disk, "disk.vmdk")
    packed = accept(ova, "vmdk", "ova")
    assert packed == look(ova)
    assert packed.virtual_size == found.virtual_size
    assert packed.facts["disk.variant"] == "streamOptimized"


def test_a_stream_optimised_disk_is_held_to_its_footer(made: Made, tmp_path: Path) -> None:
    words = ["qemu-img", "create", "-q", "-f", "vmdk", "-o", "subformat=streamOptimized"]
    disk = made("disk.vmdk", 0, *words, "{}", "1M")
    data = disk.read_bytes()
    header = data[:56] + b"\xff" * 8 + data[64:512]
    footer = bytes(512) + data[:512] + bytes(512)
    disk.write_bytes(header + data[512:] + footer)
    assert look(disk).warnings == ()
    assert accept(disk, "vmdk").virtual_size == MIB
    larger = bytes(512) + data[:12] + b"\1" + data[13:512] + bytes(512)
    for end in (b"", footer[:-512], larger, bytes(512) + header + bytes(512)):
        disk.write_bytes(header + data[512:] + end)
        with pytest.raises(FormatRefused, match="footer"):
            accept(disk, "vmdk")


@pytest.mark.parametrize(
    ("tool", "name"), [("gzip", "gzip"), ("xz", "xz"), ("bzip2", "bzip2"), ("zstd", "zstd")]
)
def test_a_compressed_disk_is_told(made: Made, tmp_path: Path, tool: str, name: str) -> None:
    disk = made("disk", 0, "qemu-img", "create", "-q", "-f", "qcow2", "{}", "12M")
    run(disk, 0, tool, "-k", "{}")
    (packed,) = set(tmp_path.iterdir()) - {disk}
    found = accept(packed, "qcow2", "compressed")
    assert found == look(packed)
    assert found.facts["compression"] == name
    assert found.facts.get("content", "qcow2") == "qcow2"
