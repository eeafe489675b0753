"""Keeps callers from properties that are not theirs to see or to change.

The first protection whose expression finds a property decides. Where there are protections, what
none of them finds is nobody's: a last one for `.` says what holds for all others.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import structs

from kilo_catalog.domain.image import Image
from kilo_catalog.domain.listing import ListQuery, Test
from kilo_catalog.domain.protection import (
    ACTIONS,
    PropertyProtection,
    pattern_of,
    rule_name,
    rule_of,
)
from kilo_catalog.errors import PropertyProtected
from kilo_catalog.service.access import target
from kilo_common.context import RequestContext
from kilo_common.policy import Policy

_TENANT = ("member", "reader")


def protection_rules(protections: Sequence[PropertyProtection]) -> dict[str, str]:
    """The rules that the protections add to the policy."""
    return {
        rule_name(number, action): rule_of(getattr(each, action))
        for number, each in enumerate(protections)
        for action in ACTIONS
    }


class PropertyProtections:
    """The protections of one catalog, in their order."""

    def __init__(self, protections: Sequence[PropertyProtection], policy: Policy) -> None:
        """Take the protections, whose rules the policy has.

        Raises:
            ConfigInvalid: an expression cannot be read.
        """
        self._patterns = [pattern_of(each) for each in protections]
        self._policy = policy

    def readable(self, context: RequestContext, image: Image) -> Image:
        """The image with those of its properties that the caller may see."""
        if not self._patterns or not image.properties:
            return image
        seen = self._seen(context, image)
        if len(seen) == len(image.properties):
            return image
        return structs.replace(
            image,
            properties={name: each for name, each in image.properties.items() if name in seen},
        )

    def readable_to_owner(self, image: Image) -> Image:
        """The image with those of its properties that any member of its project may see."""
        member = RequestContext(project_id=image.owner, roles=_TENANT)
        return self.readable(member, image)

    def check_new(self, context: RequestContext, image: Image) -> None:
        """Return if the caller may give an image that is made the properties it has.

        Raises:
            PropertyProtected: it may not.
        """
        if self._patterns:
            self._check(context, image, "create", image.properties)

    def creatable(
        self, context: RequestContext, image: Image, properties: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Those of the properties that the caller may give the image."""
        if not self._patterns:
            return properties
        about = target(image)
        return {
            name: value
            for name, value in properties.items()
            if self._allows(context, "create", name, about)
        }

    def merge(self, context: RequestContext, image: Image, changed: Image) -> Image:
        """What a caller makes of an image it saw in part: `changed`, with what it did not see.

        Raises:
            PropertyProtected: a change is not the caller's to make.
        """
        if not self._patterns:
            return changed
        before, after = image.properties, changed.properties
        seen = self._seen(context, image)
        hidden = {name: value for name, value in before.items() if name not in seen}
        self._check(context, image, "create", [name for name in after if name not in before])
        updated = [name for name in after if name in before and before[name] != after[name]]
        # Setting what one does not see is a change, even to the value it has.
        self._check(context, image, "update", [*updated, *(hidden.keys() & after.keys())])
        gone = [name for name in before if name not in after and name not in hidden]
        self._check(context, image, "delete", gone)
        if not hidden:
            return changed
        return structs.replace(changed, properties={**hidden, **after})

    def may_filter(self, context: RequestContext, query: ListQuery) -> bool:
        """Whether the caller may see the properties that a list is filtered by, on any image."""
        return not self._patterns or all(
            self._allows(context, "read", each.attribute, {})
            for each in query.conditions
            if each.test is Test.PROPERTY
        )

    def _seen(self, context: RequestContext, image: Image) -> Collection[str]:
        about = target(image)
        return {name for name in image.properties if self._allows(context, "read", name, about)}

    def _check(
        self, context: RequestContext, image: Image, action: str, names: Collection[str]
    ) -> None:
        about = target(image)
        for name in names:
            if not self._allows(context, action, name, about):
                raise PropertyProtected(
                    f"Property '{name[:255]}' is protected: you may not {action} it.",
                    attribute=name[:255],
                    action=action,
                )

    def _allows(
        self, context: RequestContext, action: str, name: str, about: Mapping[str, Any]
    ) -> bool:
        for number, pattern in enumerate(self._patterns):
            if pattern.search(name):
                return self._policy.allows(context, rule_name(number, action), about)
        return False
