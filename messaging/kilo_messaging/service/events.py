"""Events of other services, announced on the bus, become messages on a topic of their project."""

import logging
import uuid
from typing import Any

import msgspec

from kilo_common.bus.envelope import Notification
from kilo_common.context import system_context
from kilo_common.errors import InvalidInput
from kilo_messaging.service.messages import Draft, MessageOperations

log = logging.getLogger(__name__)
CLIENT_ID = str(uuid.uuid5(uuid.NAMESPACE_DNS, "events.kilostack"))
"""The events' Client-ID: no client's own, so that everybody who lists them sees them."""


class EventPoster:
    """Posts each notification once to the events topic of the project it concerns."""

    def __init__(self, messages: MessageOperations, topic: str) -> None:
        self._messages = messages
        self._topic = topic

    def __call__(self, notification: Notification) -> None:
        """Post it; one that concerns no project, or cannot be posted ever, is dropped.

        Raises:
            Unavailable: the store does not answer: give it again.
        """
        project = _project_of(notification)
        if project is None:
            log.info("%s concerns no project and is not posted", notification.event_type)
            return
        body = msgspec.json.encode(
            {
                "event_type": notification.event_type,
                "message_id": notification.message_id,
                "publisher_id": notification.publisher_id,
                "priority": notification.priority,
                "timestamp": notification.timestamp,
                "payload": notification.payload,
            }
        )
        try:
            self._messages.post(
                system_context(project),
                self._topic,
                [Draft(body)],
                client_id=CLIENT_ID,
                size=len(body),
                once=_once(notification),
            )
        except InvalidInput as fault:
            log.warning("%s is not posted: %s", notification.event_type, fault)


def _project_of(notification: Notification) -> str | None:
    payload = notification.payload if isinstance(notification.payload, dict) else {}
    named: Any = notification.context.get("project_id") or payload.get("owner")
    return named if isinstance(named, str) and 0 < len(named) <= 256 else None


def _once(notification: Notification) -> str | None:
    """The key by which a copy is known; None for a notification without an id."""
    if not notification.message_id:
        return None
    return f"event:{uuid.uuid5(uuid.NAMESPACE_OID, notification.message_id)}"
