"""Gives imported images properties that the operator wants, by the role of who imports."""

from kilo_catalog.config import CatalogSettings
from kilo_catalog.tasks.plugins.base import ImportPlugin, PluginTools, Workbench
from kilo_catalog.tasks.plugins.settings import InjectionRule
from kilo_common.context import RequestContext


class InjectMetadata(ImportPlugin):
    """All rules that fit are applied, in order."""

    name = "metadata"

    def __init__(self, settings: CatalogSettings, tools: PluginTools) -> None:
        del tools
        self._rules = settings.imports.injection

    @property
    def active(self) -> bool:
        return bool(self._rules)

    def wanted(self, bench: Workbench) -> bool:
        return any(_fits(rule, bench.context) for rule in self._rules)

    def run(self, bench: Workbench) -> None:
        for rule in self._rules:
            if _fits(rule, bench.context):
                bench.set_properties(rule.properties)


def _fits(rule: InjectionRule, context: RequestContext) -> bool:
    roles = set(context.roles)
    return (not rule.roles or bool(roles & set(rule.roles))) and not roles & set(rule.except_roles)
