"""Announces what happened, in oslo.messaging's `messagingv2` form."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from kilo_common.bus.envelope import Notification, wrap
from kilo_common.bus.target import Target
from kilo_common.bus.transport import Transport
from kilo_common.clock import Clock
from kilo_common.context import RequestContext
from kilo_common.ids import IdSource

PRIORITIES = ("audit", "debug", "info", "warn", "error", "critical", "sample")


class Notifier:
    """Announces events for one publisher, such as `image.host1`."""

    def __init__(
        self,
        transport: Transport,
        publisher_id: str,
        *,
        clock: Clock,
        new_id: IdSource,
        topic: str = "notifications",
        exchange: str = "openstack",
    ) -> None:
        self._transport = transport
        self._publisher_id = publisher_id
        self._clock = clock
        self._new_id = new_id
        self._topic = topic
        self._exchange = exchange

    def notify(
        self,
        context: RequestContext | Mapping[str, Any],
        event_type: str,
        payload: Mapping[str, Any],
        *,
        priority: str = "info",
        message_id: str | None = None,
        occurred_at: datetime | None = None,
        timeout: float = 30.0,
    ) -> str:
        """Publish one notification and return its message id once the bus has it.

        Give `message_id` and `occurred_at` when the event was recorded before it is announced (an
        outbox): every retry then carries the same id, by which a listener knows a duplicate.

        Raises:
            BusUnavailable: the bus did not confirm; announce it again.
        """
        if priority not in PRIORITIES:
            raise ValueError(f"{priority!r} is not one of {', '.join(PRIORITIES)}")
        values = context.to_dict() if isinstance(context, RequestContext) else dict(context)
        notification = Notification(
            message_id=message_id or self._new_id(),
            publisher_id=self._publisher_id,
            event_type=event_type,
            priority=priority.upper(),
            payload=payload,
            timestamp=_stamp(occurred_at or self._clock.now()),
            context=values,
            unique_id=self._new_id().replace("-", ""),
        )
        target = Target(f"{self._topic}.{priority}", exchange=self._exchange)
        body = wrap(notification.to_message())
        self._transport.publish(target.topic_address, body, timeout=timeout)
        return notification.message_id


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
