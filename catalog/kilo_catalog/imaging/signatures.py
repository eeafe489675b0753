"""What formats begin with. Those that QEMU would recognise by itself must not hide under another
format's name: whoever uses the image would follow its header to files of the host."""

import re
from collections.abc import Mapping

SIGNATURES: Mapping[str, tuple[tuple[int, bytes], ...]] = {
    "qcow2": ((0, b"QFI\xfb"),),
    "vmdk": ((0, b"KDMV"), (0, b"COWD")),
    "vhdx": ((0, b"vhdxfile"),),
    "vhd": ((0, b"conectix"),),
    "vdi": ((0x40, b"\x7f\x10\xda\xbe"),),
    "qed": ((0, b"QED\0"),),
    "ploop": ((0, b"WithoutFreeSpace"), (0, b"WithouFreSpacExt")),
    "bochs": ((0, b"Bochs Virtual HD Image"),),
    "cloop": ((0, b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop"),),
    "luks": ((0, b"LUKS\xba\xbe"),),
    "gzip": ((0, b"\x1f\x8b\x08"),),
    "xz": ((0, b"\xfd7zXZ\0"),),
    "bzip2": ((0, b"BZh"),),
    "zstd": ((0, b"\x28\xb5\x2f\xfd"),),
    "lz4": ((0, b"\x04\x22\x4d\x18"),),
    "zip": ((0, b"PK\x03\x04"),),
    "iso": ((0x8001, b"CD001"), (0x8001, b"BEA01")),
    "tar": ((257, b"ustar"),),
}
DISKS = frozenset({"qcow2", "vmdk", "vhdx", "vhd", "vdi", "qed", "ploop", "bochs", "cloop"})
"""Formats that contain a disk, and may lead to other files."""
COMPRESSIONS = frozenset({"gzip", "xz", "bzip2", "zstd", "lz4", "zip"})
_BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")
# A descriptor is text: comments and empty lines, then its version (QEMU goes by no more than that).
_VMDK_TEXT = re.compile(rb"(?:#[^\n]*\n| *\r?\n)*version=[123]\r?\n")


def recognise(head: bytes) -> str:
    """The format that these first bytes belong to; `raw` if it is none we know."""
    for name, signatures in SIGNATURES.items():
        if any(head.startswith(magic, offset) for offset, magic in signatures):
            if name == "bzip2" and not _BZIP2.match(head):
                continue
            return name
    return "vmdk" if is_descriptor(head) else "raw"


def is_descriptor(head: bytes) -> bool:
    """Whether this is the text that describes a VMware disk, without its data."""
    if head.startswith(b"# Disk DescriptorFile"):
        return True
    return head[:1] in (b"#", b" ", b"\r", b"\n", b"v") and bool(_VMDK_TEXT.match(head[:2048]))
