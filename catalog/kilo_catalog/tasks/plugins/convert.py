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
from kilo_catalog.domain.import_request import plan_of
from kilo_catalog.domain.signed import SIGNATURE_PROPERTIES
from kilo_catalog.imaging.conversion import Conversion
from kilo_catalog.imaging.converters import Converters
from kilo_catalog.tasks.plugins.base import ImportPlugin, PluginTools, Workbench


class Convert(ImportPlugin):
    """What is asked for must be possible. What the configuration wants is done where it can be:
    an ISO stays one."""

    name = "convert"

    def __init__(self, settings: CatalogSettings, tools: PluginTools) -> None:
        self._settings = settings.imports.conversion
        self._converters = tools.converters

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
            convert(bench, self._converters, target, compress=compress)
        bench.drop_properties([PROPERTY])


def convert(
    bench: Workbench, converters: Converters, target_format: str, *, compress: bool
) -> None:
    """Put the converted disk in the place of the working blob; properties tell of the original.

    Raises:
        ConversionInvalid, ConversionFailed, ScratchFull: see `Converter.convert`.
        What `Workbench.replace` and `Workbench.check` raise.
    """
    image, before = bench.image, bench.facts
    check_container(image)
    check_conversion(image.disk_format, target_format, compress=compress)
    source_format = image.disk_format or ""
    converter = converters.find(source_format, target_format)
    target = bench.scratch() / f"converted.{target_format}"
    with bench.file() as source:
        work = Conversion(source, source_format, target, target_format, compress)
        with closing(converter.convert(work)) as run:
            for fraction in run:
                bench.progress(fraction)
                bench.check()
    bench.replace(target, disk_format=target_format)
    original = {ORIGINAL_FORMAT: source_format, ORIGINAL_HASH: before.os_hash_value}
    if before.os_hash_algo == "sha512" and ORIGINAL_HASH not in image.properties:
        bench.set_properties(original)
    # It was the signature of other bytes.
    bench.drop_properties(SIGNATURE_PROPERTIES)


def _asked(bench: Workbench) -> str:
    """The format that the import's body names, or else the image."""
    request = plan_of(bench.task).request
    return request.convert_to or bench.image.properties.get(PROPERTY, "")
