"""Recognising a disk image from its first bytes, and checking that it is what it is called.

An inspector is fed the blocks of an upload as they pass. It keeps no more than a header. The
formats that have one are `raw` and `qcow2`; the bytes of others are only compared with signatures.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from kilo_catalog.errors import FormatRefused

HEADER_SIZE = 512
"""Bytes that every inspector may look at; more is not kept."""
SIGNATURES: Mapping[str, bytes] = {
    "qcow2": b"QFI\xfb",
    "vmdk": b"KDMV",
    "vhdx": b"vhdxfile",
    "qed": b"QED\x00",
}
"""What containers of other disks begin with. None may hide under another format's name."""


def recognise(header: bytes) -> str:
    """The format whose signature `header` begins with; `raw` if it is none we know."""
    for name, signature in SIGNATURES.items():
        if header.startswith(signature):
            return name
    return "raw"


def refuse(declared: str, found: str, reason: str = "") -> FormatRefused:
    """The error for bytes that are not what they are called, or not safe."""
    what = reason or f"the data is {found}"
    return FormatRefused(
        f"The image is declared to be {declared}, but {what}", declared=declared, found=found
    )


class Inspector(ABC):
    """Looks at one image's bytes. `feed` every block, then `finish`."""

    def __init__(self, declared: str) -> None:
        self._declared = declared
        self._header = b""
        self._checked = False
        self._size = 0

    def feed(self, block: bytes) -> None:
        """The next bytes.

        Raises:
            FormatRefused: they are not the declared format, or not a safe one.
        """
        self._size += len(block)
        if self._checked:
            return
        self._header += block[: HEADER_SIZE - len(self._header)]
        if len(self._header) == HEADER_SIZE:
            self._check()

    def finish(self) -> int | None:
        """There are no more bytes. The size of the disk inside, where it is known.

        Raises:
            FormatRefused: as `feed`.
        """
        if not self._checked:
            self._check()
        return self._virtual_size()

    def _check(self) -> None:
        self._checked = True
        self._inspect(self._header)

    @abstractmethod
    def _inspect(self, header: bytes) -> None:
        """Judge the first bytes: HEADER_SIZE, or all there are. Raises FormatRefused."""

    @abstractmethod
    def _virtual_size(self) -> int | None:
        """The size of the disk, from `_header` and `_size`, once all bytes have passed."""
