"""Tells what the data was found to be as properties of the image, as an upload does."""

from kilo_catalog.config import CatalogSettings
from kilo_catalog.domain.findings import PREFIX, as_properties
from kilo_catalog.errors import LimitExceeded
from kilo_catalog.tasks.plugins.base import ImportPlugin, PluginTools, Workbench


class Introspect(ImportPlugin):
    """The bytes were inspected when they came in; here is only told what that has found."""

    name = "introspect"

    def __init__(self, settings: CatalogSettings, tools: PluginTools) -> None:
        del settings, tools

    def wanted(self, bench: Workbench) -> bool:
        return bench.facts.findings is not None

    def run(self, bench: Workbench) -> None:
        found = as_properties(bench.facts.findings)
        old = [each for each in bench.image.properties if each.startswith(PREFIX)]
        bench.drop_properties(old)
        try:
            bench.set_properties(found)
        except LimitExceeded:
            # The limits on properties are the owner's to use up: where there is no room, none.
            return
