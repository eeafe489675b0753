"""Converts data to the disk format that the import, the image or the configuration names."""

from contextlib import closing

from kilo_catalog.config import CatalogSettings
from kilo_catalog.domain.conversion import (
    COMPRESSIBLE,
    ORIGINAL_FORMAT,
    ORIGINAL_HASH,
    PROPERTY,
    SOURCES,
    check_container,
    check_conversion,
    same_format,
)
from kilo_catalog.domain.convert_request import conversion_of
from kilo_catalog.domain.import_request import plan_of
from kilo_catalog.domain.signed import SIGNATURE_PROPERTIES
from kilo_catalog.errors import ConversionFailed
from kilo_catalog.imaging.conversion import Conversion, Converter
from kilo_catalog.imaging.detection import inspect_file
from kilo_catalog.tasks.plugins.base import ImportPlugin, PluginTools, Workbench


class Convert(ImportPlugin):
    """What is asked for must be possible. What the configuration wants is done where it can be:
    an ISO stays one."""

    name = "convert"

    def __init__(self, settings: CatalogSettings, tools: PluginTools) -> None:
        self._settings = settings.imports.conversion
        self._tools = tools

    def wanted(self, bench: Workbench) -> bool:
        image = bench.image
        asked = _asked(bench)
        if asked:
            return not same_format(image.disk_format, asked) or PROPERTY in image.properties
        target = self._settings.target
        can = image.disk_format in SOURCES and image.container_format == "bare"
        return bool(target) and can and not same_format(image.disk_format, target)

    def run(self, bench: Workbench) -> None:
        target = _asked(bench) or self._settings.target
        if not same_format(bench.image.disk_format, target):
            compress = self._settings.compress and target in COMPRESSIBLE
            convert(bench, self._tools, target, compress=compress)
        bench.drop_properties([PROPERTY])


class ConvertAsAsked(ImportPlugin):
    """Does what the task of a conversion is to do."""

    name = "convert"

    def __init__(self, tools: PluginTools) -> None:
        self._tools = tools

    def wanted(self, bench: Workbench) -> bool:
        del bench
        return True

    def run(self, bench: Workbench) -> None:
        plan = conversion_of(bench.task)
        convert(bench, self._tools, plan.disk_format, compress=plan.compress, verify=plan.in_place)
        bench.drop_properties([PROPERTY])


def convert(
    bench: Workbench,
    tools: PluginTools,
    target_format: str,
    *,
    compress: bool,
    verify: bool = False,
) -> None:
    """Put the converted disk in the place of the working blob; properties tell of the original.
    With `verify` the two disks are compared first.

    Raises:
        ConversionInvalid, ConversionFailed, ScratchFull: see `Converter.convert`.
        What `Workbench.replace` and `Workbench.check` raise.
    """
    image, before = bench.image, bench.facts
    check_container(image)
    check_conversion(image.disk_format, target_format, compress=compress)
    source_format = image.disk_format or ""
    converter = tools.converters.find(source_format, target_format)
    target = bench.scratch() / f"converted.{target_format}"
    with bench.file() as source:
        if before.findings is None:
            # Nobody has looked at data that another service has put where it is.
            tools.executor.submit(inspect_file, source, source_format).result()
        work = Conversion(source, source_format, target, target_format, compress)
        with closing(converter.convert(work)) as run:
            for fraction in run:
                bench.progress(fraction / 2 if verify else fraction)
                bench.check()
        if verify:
            _compare(bench, converter, work)
    bench.replace(target, disk_format=target_format)
    if before.os_hash_algo == "sha512" and ORIGINAL_HASH not in image.properties:
        bench.set_properties({ORIGINAL_FORMAT: source_format, ORIGINAL_HASH: before.os_hash_value})
    # It was the signature of other bytes.
    bench.drop_properties(SIGNATURE_PROPERTIES)


def _compare(bench: Workbench, converter: Converter, work: Conversion) -> None:
    same = False
    words = converter.compare(work.source, work.source_format, work.target, work.target_format)
    with closing(words) as run:
        for word in run:
            bench.check()
            same = word
    if not same:
        raise ConversionFailed("The converted disk is not the same as the original; it is dropped")


def _asked(bench: Workbench) -> str:
    """The format that the import's body names, or else the image."""
    request = plan_of(bench.task).request
    return request.convert_to or bench.image.properties.get(PROPERTY, "")
