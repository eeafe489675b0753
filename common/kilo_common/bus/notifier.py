"""Announces what happened, in oslo.messaging's `messagingv2` form."""

import copy
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from kilo_common.bus.envelope import Notification
from kilo_common.bus.middleware.base import MessageKind, Middleware
from kilo_common.bus.retry import ONCE, RetryPolicy
from kilo_common.bus.sender import Sender
from kilo_common.bus.serializer import JsonSerializer, Serializer
from kilo_common.bus.target import Target
from kilo_common.bus.transport import Transport
from kilo_common.clock import Clock
from kilo_common.context import RequestContext
from kilo_common.ids import HexIds, IdSource

PRIORITIES = ("audit", "debug", "info", "warn", "error", "critical", "sample")
_SECRET = "auth_token"
"""A context's key that is never announced to whoever listens."""
Context = RequestContext | Mapping[str, Any]


class Notifier:
    """Announces events for one publisher, such as `image.host1`."""

    def __init__(
        self,
        transport: Transport,
        publisher_id: str,
        *,
        clock: Clock,
        new_id: IdSource,
        topic: str | Sequence[str] = "notifications",
        exchange: str = "openstack",
        retry: RetryPolicy = ONCE,
        serializer: Serializer | None = None,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        """With several topics each gets every notification, in that order."""
        self._publisher_id = publisher_id
        self._clock = clock
        self._new_id = new_id
        self._topics = (topic,) if isinstance(topic, str) else tuple(topic)
        self._exchange = exchange
        self._retry = retry
        self._serializer = serializer or JsonSerializer()
        self._sender = Sender(transport, middleware)
        self._unique_ids = HexIds(new_id)

    def prepare(
        self, *, publisher_id: str | None = None, retry: RetryPolicy | None = None
    ) -> "Notifier":
        """This notifier for another publisher, or with another policy of retries."""
        other = copy.copy(self)
        other._publisher_id = self._publisher_id if publisher_id is None else publisher_id
        other._retry = self._retry if retry is None else retry
        return other

    def notify(
        self,
        context: Context,
        event_type: str,
        payload: Any,
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
        values = dict(self._serializer.dump_context(context))
        if values.get(_SECRET) is not None:
            values[_SECRET] = None
        notification = Notification(
            message_id=message_id or self._new_id(),
            publisher_id=self._publisher_id,
            event_type=event_type,
            priority=priority.upper(),
            payload=self._serializer.dump(payload),
            timestamp=_stamp(occurred_at or self._clock.now()),
            context=values,
            unique_id=self._unique_ids(),
        )
        for topic in self._topics:
            self._sender.send(
                MessageKind.NOTIFICATION,
                event_type,
                Target(f"{topic}.{priority}", exchange=self._exchange).topic_address,
                notification.to_message(),
                timeout=timeout,
                retry=self._retry,
            )
        return notification.message_id

    def audit(self, context: Context, event_type: str, payload: Any) -> str:
        """`notify` with the priority `audit`; the six below likewise."""
        return self.notify(context, event_type, payload, priority="audit")

    def debug(self, context: Context, event_type: str, payload: Any) -> str:
        """See `audit`."""
        return self.notify(context, event_type, payload, priority="debug")

    def info(self, context: Context, event_type: str, payload: Any) -> str:
        """See `audit`."""
        return self.notify(context, event_type, payload, priority="info")

    def warn(self, context: Context, event_type: str, payload: Any) -> str:
        """See `audit`."""
        return self.notify(context, event_type, payload, priority="warn")

    def error(self, context: Context, event_type: str, payload: Any) -> str:
        """See `audit`."""
        return self.notify(context, event_type, payload, priority="error")

    def critical(self, context: Context, event_type: str, payload: Any) -> str:
        """See `audit`."""
        return self.notify(context, event_type, payload, priority="critical")

    def sample(self, context: Context, event_type: str, payload: Any) -> str:
        """See `audit`."""
        return self.notify(context, event_type, payload, priority="sample")


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
