"""Which notifications a handler wants: regular expressions over their fields."""

import re
from collections.abc import Mapping
from typing import Any

from kilo_common.bus.envelope import Notification
from kilo_common.errors import ConfigInvalid


class NotificationFilter:
    """Lets through what matches every expression it was given.

    An expression must match from the beginning of the field, as oslo.messaging's NotificationFilter
    has it: `compute\\.` for all that begins so. In the mappings `context`, `metadata` and `payload`
    each key names a field of the notification's; one that it does not have does not match.
    """

    def __init__(
        self,
        *,
        publisher_id: str | None = None,
        event_type: str | None = None,
        context: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        payload: Mapping[str, str] | None = None,
    ) -> None:
        """
        Raises:
            ConfigInvalid: an expression is not one.
        """
        self._publisher_id = _compile("publisher_id", publisher_id)
        self._event_type = _compile("event_type", event_type)
        self._context = _compile_all("context", context)
        self._metadata = _compile_all("metadata", metadata)
        self._payload = _compile_all("payload", payload)

    def matches(self, notification: Notification) -> bool:
        """Whether `notification` is wanted."""
        return (
            _fits(self._publisher_id, notification.publisher_id)
            and _fits(self._event_type, notification.event_type)
            and _all_fit(self._context, notification.context)
            and _all_fit(self._metadata, notification.metadata)
            and _all_fit(self._payload, notification.payload)
        )


def _compile(field: str, expression: str | None) -> re.Pattern[str] | None:
    if expression is None:
        return None
    try:
        return re.compile(expression)
    except re.error as fault:
        raise ConfigInvalid(
            f"The filter {field}: {expression!r} is not a regular expression: {fault}", key=field
        ) from None


def _compile_all(field: str, expressions: Mapping[str, str] | None) -> dict[str, re.Pattern[str]]:
    compiled = {}
    for key, expression in (expressions or {}).items():
        pattern = _compile(f"{field}.{key}", expression)
        assert pattern is not None
        compiled[key] = pattern
    return compiled


def _fits(pattern: re.Pattern[str] | None, value: Any) -> bool:
    return pattern is None or (value is not None and pattern.match(str(value)) is not None)


def _all_fit(patterns: Mapping[str, re.Pattern[str]], values: Any) -> bool:
    if not patterns:
        return True
    return isinstance(values, Mapping) and all(
        _fits(pattern, values.get(key)) for key, pattern in patterns.items()
    )
