"""Recognises an image from its bytes while they pass, and checks that it is what it is called.

Memory is bounded by the regions that parsers collect (`scan.py`), a few MiB at the very most.
"""

from kilo_catalog.domain.findings import Findings
from kilo_catalog.imaging.archives import parse_tar
from kilo_catalog.imaging.compressions import parse_compressed
from kilo_catalog.imaging.headers import (
    parse_iso,
    parse_luks,
    parse_ploop,
    parse_qed,
    parse_vdi,
)
from kilo_catalog.imaging.judgement import contradicts, refuse
from kilo_catalog.imaging.partitions import parse_raw
from kilo_catalog.imaging.qcow2 import parse_qcow2
from kilo_catalog.imaging.scan import HEAD, Parser, Region, Scan, Sheet
from kilo_catalog.imaging.signatures import COMPRESSIONS, recognise
from kilo_catalog.imaging.vhd import FOOTER, parse_fixed, parse_vhd
from kilo_catalog.imaging.vhdx import parse_vhdx
from kilo_catalog.imaging.vmdk import parse_vmdk


class Inspector:
    """Looks at one image's bytes: `feed` every block, then `finish`.

    With no declared formats nothing is refused; what is dangerous is told as a warning.
    """

    def __init__(self, disk_format: str | None, container_format: str | None) -> None:
        self._disk = disk_format
        self._container = container_format
        self._sheet = Sheet()
        self._scan = Scan()
        self._scan.start(self._begin())

    def feed(self, block: bytes | memoryview) -> None:
        """The next bytes.

        Raises:
            FormatRefused: they are not the declared format, or not a safe one.
        """
        self._scan.feed(block)
        self._judge()

    def finish(self) -> Findings:
        """There are no more bytes: what was found.

        Raises:
            FormatRefused: as `feed`.
        """
        self._scan.finish()
        self._judge()
        return self._sheet.findings()

    def _begin(self) -> Parser:
        head = yield Region(0, HEAD)
        sheet, scan = self._sheet, self._scan
        sheet.format = recognise(head)
        fixed = sheet.format == "raw" and (self._disk, self._container) in (
            ("vhd", "bare"), (None, None),
        )  # fmt: skip
        if not fixed:
            self._check_declared()
        parser = self._parser(head)
        if parser is not None:
            yield from parser
        scan.at_end(self._measure)

    def _parser(self, head: bytes) -> Parser | None:
        """Begin to read the format; the parser, if there is more to see than the head."""
        sheet, scan = self._sheet, self._scan
        found = sheet.format
        if found == "vmdk":
            return parse_vmdk(scan, sheet, head)
        if found == "vhd":
            return parse_vhd(scan, sheet, head)
        if found == "vhdx":
            return parse_vhdx(sheet, head)
        if found == "tar":
            return parse_tar(scan, sheet, head, ova=self._container == "ova")
        if found == "raw":
            return self._parse_raw(head)
        if found in COMPRESSIONS:
            parse_compressed(sheet, head)
        elif found in _MEASURED:
            _MEASURED[found](scan, sheet, head)
        elif found in _HEADERS:
            _HEADERS[found](sheet, head)
        return None

    def _parse_raw(self, head: bytes) -> Parser:
        yield from parse_raw(self._scan, self._sheet, head)
        if self._disk == "gpt" and self._sheet.facts.get("partition_table") != "gpt":
            self._sheet.dangers.append("the data has no GPT")

    def _measure(self, size: int, tail: bytes) -> None:
        sheet = self._sheet
        if sheet.format != "raw":
            return
        if self._disk in ("vhd", None) and parse_fixed(sheet, size, tail[-FOOTER:]):
            return
        sheet.virtual_size = size
        self._check_declared()

    def _check_declared(self) -> None:
        if self._disk is None or self._container is None:
            return
        if contradicts(self._disk, self._container, self._sheet.format):
            self._sheet.dangers.insert(0, f"the data is {self._sheet.format}")

    def _judge(self) -> None:
        dangers = self._sheet.dangers
        if dangers and self._disk is not None and self._container is not None:
            raise refuse(self._disk, self._container, self._sheet.format, dangers[0])


_MEASURED = {"luks": parse_luks, "iso": parse_iso, "vdi": parse_vdi}
_HEADERS = {
    "qcow2": parse_qcow2,
    "qed": parse_qed,
    "ploop": parse_ploop,
}
