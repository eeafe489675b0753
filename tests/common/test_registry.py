"""Driver tables: lazy, and helpful when a name is wrong or a package is missing."""

import sys

import pytest

from kilo_common.errors import DriverUnavailable, DriverUnknown
from kilo_common.registry import Driver, DriverTable

TABLE = DriverTable(
    "number",
    {
        "fraction": Driver("fractions:Fraction"),
        "imaginary": Driver("no_such_module_of_ours:Thing", needs="kilostack[imaginary]"),
    },
)


def test_a_driver_is_imported_when_it_is_asked_for() -> None:
    assert TABLE.load("fraction") is sys.modules["fractions"].Fraction


def test_a_misspelt_name_gets_a_suggestion() -> None:
    with pytest.raises(DriverUnknown, match="did you mean 'fraction'"):
        TABLE.load("fractoin")


def test_a_missing_package_is_said_with_what_to_install() -> None:
    with pytest.raises(DriverUnavailable, match=r"pip install 'kilostack\[imaginary\]'"):
        TABLE.load("imaginary")
