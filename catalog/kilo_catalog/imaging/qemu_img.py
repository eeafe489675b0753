"""The converter that is QEMU's own tool, in a sandbox.

Formats are never probed: source and target are named by a description that fixes the driver, and
for formats that could have a backing file, that there is none.
"""

import json
import re
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kilo_catalog.domain.conversion import SOURCES, TARGETS
from kilo_catalog.errors import ConversionFailed
from kilo_catalog.imaging.conversion import Conversion, Converter
from kilo_catalog.imaging.sandbox import Sandbox

_DRIVERS: Mapping[str, str] = {"gpt": "raw", "vhd": "vpc", "ploop": "parallels"}
"""What QEMU calls a format, where the Image API has another name."""
_BACKED = frozenset({"qcow2", "vmdk"})
_OPTIONS: Mapping[str, str] = {
    "qcow2": "compat=1.1",
    "vhd": "subformat=dynamic,force_size=on",
    "vhdx": "subformat=dynamic",
    "vmdk": "subformat=monolithicSparse",
}
_COMPRESSED: Mapping[str, str] = {"qcow2": "compat=1.1", "vmdk": "subformat=streamOptimized"}
_CHECKED = frozenset({"qcow2", "vmdk"})
"""The others are refused by `convert` itself, or by our inspection, when they are cut short."""
_LEAKS, _UNKNOWN = 3, 63
_GOOD_ENOUGH = frozenset({_LEAKS, _UNKNOWN})
"""What `qemu-img check` exits with when the data is all there: some space is lost, or the format is
one that it cannot check."""
_PERCENT = re.compile(r"\((\d+(?:\.\d+)?)/100%\)\s*$")
_DIFFERENT = 1
"""What `qemu-img compare` exits with when it has found a difference; errors are 2 and more."""


@dataclass(frozen=True)
class QemuImg(Converter):
    """Runs `qemu-img convert` and `qemu-img compare`."""

    program: str
    """Its path."""
    sandbox: Sandbox

    def can(self, source_format: str, target_format: str) -> bool:
        return source_format in SOURCES and target_format in TARGETS

    def convert(self, work: Conversion) -> Generator[float, None, None]:
        yield from self._check(work)
        options = _COMPRESSED if work.compress else _OPTIONS
        command = [self.program, "convert", "-p", "-O", _driver(work.target_format)]
        if work.target_format in options:
            command += ["-o", options[work.target_format]]
        if work.compress:
            command.append("-c")
        elif work.target_format in ("raw", "qcow2"):
            command.append("-W")  # out of order is faster, and no format with an order of its own
        # The target's name is relative: a vmdk's descriptor repeats it, and a path there is unsafe.
        command += [_describe(work.source, work.source_format), work.target.name]
        with closing(self.sandbox.run(command, work.target.parent)) as run:
            for words in run:
                percent = _PERCENT.search(words)
                yield float(percent[1]) / 100 if percent else 0.0
        yield 1.0

    def _check(self, work: Conversion) -> Generator[float, None, None]:
        """Refuse what is damaged: `convert` takes what lies behind a file's end for zeros."""
        if work.source_format not in _CHECKED:
            return
        command = [self.program, "check", "-q", _describe(work.source, work.source_format)]
        try:
            with closing(self.sandbox.run(command, work.target.parent)) as run:
                for _words in run:
                    yield 0.0
        except ConversionFailed as fault:
            if fault.details.get("status") not in _GOOD_ENOUGH:
                raise ConversionFailed(
                    f"The image is damaged or cut short. {fault.message}"
                ) from fault

    def compare(
        self, one: Path, its_format: str, other: Path, other_format: str
    ) -> Generator[bool, None, None]:
        command = [
            self.program, "compare", _describe(one, its_format), _describe(other, other_format),
        ]  # fmt: skip
        try:
            with closing(self.sandbox.run(command, other.parent)) as run:
                for _words in run:
                    yield True
        except ConversionFailed as fault:
            if fault.details.get("status") != _DIFFERENT:
                raise
            yield False
        else:
            yield True


def _driver(name: str) -> str:
    return _DRIVERS.get(name, name)


def _describe(path: Path, name: str) -> str:
    file = {"driver": "file", "filename": str(path.absolute())}
    found: dict[str, Any] = {"driver": _driver(name), "file": file}
    if name in _BACKED:
        found["backing"] = None
    return f"json:{json.dumps(found)}"
