"""Which converter does what here. The sandbox for qemu-img is made when it is first needed."""

import shutil
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property

from kilo_catalog.errors import ConversionFailed
from kilo_catalog.imaging.built_in import BuiltIn
from kilo_catalog.imaging.conversion import Converter
from kilo_catalog.imaging.qemu_img import QemuImg
from kilo_catalog.imaging.sandbox import Sandbox, SandboxLimits
from kilo_catalog.imaging.settings import ConversionSettings, Tool
from kilo_common.clock import Clock


@dataclass(frozen=True)
class Converters:
    """The converters of this process."""

    settings: ConversionSettings
    executor: Executor
    clock: Clock
    file_limit: int
    """The longest file a conversion may write, in bytes; a guest's disk is never longer."""

    def find(self, source_format: str, target_format: str) -> Converter:
        """The converter for that.

        Raises:
            ConversionFailed: what is here cannot do it.
            ConfigInvalid: qemu-img cannot be run within limits.
        """
        for each in self._all:
            if each.can(source_format, target_format):
                return each
        raise ConversionFailed(
            f"Nothing here converts {source_format} to {target_format}: qemu-img is not installed, "
            "or not allowed (catalog.imports.conversion.tool), and our own code knows raw and "
            "qcow2 only"
        )

    @cached_property
    def _all(self) -> tuple[Converter, ...]:
        settings = self.settings
        found: list[Converter] = []
        program = shutil.which(settings.qemu_img)
        if settings.tool is not Tool.BUILT_IN and program is not None:
            limits = SandboxLimits(settings.time_limit, settings.memory_limit, self.file_limit)
            found.append(QemuImg(program, Sandbox.build(limits)))
        if settings.tool is not Tool.QEMU_IMG:
            found.append(BuiltIn(self.executor, self.clock, settings.time_limit))
        return tuple(found)
