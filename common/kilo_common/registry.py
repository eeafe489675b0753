"""Driver tables: a name leads to a class that is imported when it is first asked for."""

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from kilo_common.errors import DriverUnavailable, DriverUnknown


@dataclass(frozen=True)
class Driver:
    """One line of a driver table."""

    path: str
    """`package.module:Class`."""
    needs: str = ""
    """What to install when the import fails, such as `kilostack[postgres]`."""


@dataclass(frozen=True)
class DriverTable:
    """The drivers of one interface. Entry points of `group` add those from outside this project."""

    kind: str
    """What these drivers are, for messages: `bus transport`, `blob store`."""
    drivers: Mapping[str, Driver]
    group: str = ""
    _loaded: dict[str, Any] = field(default_factory=dict, compare=False)

    def load(self, name: str) -> Any:
        """The class named `name`.

        Raises:
            DriverUnknown: no such driver; the message suggests the nearest name.
            DriverUnavailable: it needs a package that is not installed; the message says which.
        """
        if name not in self._loaded:
            self._loaded[name] = _import(self.kind, name, self._find(name))
        return self._loaded[name]

    def names(self) -> list[str]:
        """The names that are built in."""
        return sorted(self.drivers)

    def _find(self, name: str) -> Driver:
        if name in self.drivers:
            return self.drivers[name]
        if self.group:
            for entry in metadata.entry_points(group=self.group, name=name):
                return Driver(entry.value)
        near = difflib.get_close_matches(name, self.drivers, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(self.names())}"
        raise DriverUnknown(f"There is no {self.kind} named {name!r}; {hint}", name=name)


def _import(kind: str, name: str, driver: Driver) -> Any:
    module, _, attribute = driver.path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as missing:
        remedy = f"install it with: pip install '{driver.needs}'" if driver.needs else str(missing)
        raise DriverUnavailable(
            f"The {kind} {name!r} needs {missing.name or 'a package'}, which is not installed; "
            f"{remedy}",
            name=name,
        ) from missing
