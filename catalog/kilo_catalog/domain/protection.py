"""Who may do what to certain properties of images. A section of the configuration as well."""

import re
from typing import Annotated

from msgspec import Meta

from kilo_common.config import Section
from kilo_common.errors import ConfigInvalid

ACTIONS = ("create", "read", "update", "delete")
Allowed = tuple[str, ...] | str
"""Roles, any of which will do; or a rule in the policy's own words."""


class PropertyProtection(Section, frozen=True):
    """Who may do what to the properties whose name a regular expression finds."""

    name: Annotated[
        str,
        Meta(
            description="A regular expression, looked for anywhere in a property's name: `^x_` for "
            "all that begin so, `^price$` for one, `.` for all.",
            min_length=1,
        ),
    ]
    create: Annotated[
        Allowed,
        Meta(
            description="Who may give an image such a property: a list of roles (`@`: everybody), "
            "or a rule as in the policy, such as `rule:admin_or_owner`. Empty: nobody."
        ),
    ] = ()
    read: Annotated[Allowed, Meta(description="Who sees it. Like `create`.")] = ()
    update: Annotated[Allowed, Meta(description="Who may change its value. Like `create`.")] = ()
    delete: Annotated[Allowed, Meta(description="Who may take it away. Like `create`.")] = ()


def pattern_of(protection: PropertyProtection) -> re.Pattern[str]:
    """The regular expression that finds the properties.

    Raises:
        ConfigInvalid: it is none.
    """
    try:
        return re.compile(protection.name)
    except re.error as fault:
        raise ConfigInvalid(
            f"catalog.property_protections: {protection.name!r} is no regular expression: {fault}",
            key="catalog.property_protections",
        ) from None


def rule_name(number: int, action: str) -> str:
    """What the policy calls the rule for an action to what the protection of a number finds."""
    return f"property_protections[{number}].{action}"


def rule_of(allowed: Allowed) -> str:
    """The policy's words for who may."""
    if isinstance(allowed, str):
        return allowed or "!"
    checks = ["@" if role == "@" else f"role:{role}" for role in allowed if role != "!"]
    return " or ".join(checks) or "!"
