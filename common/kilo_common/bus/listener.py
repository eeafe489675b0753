"""Listens to notifications and hands each, or a batch of them, to a function."""

import logging
from collections.abc import Callable, Sequence

from kilo_common.bus.batches import BatchExecutor
from kilo_common.bus.envelope import Notification, unwrap
from kilo_common.bus.errors import EnvelopeInvalid
from kilo_common.bus.executors import open_executor
from kilo_common.bus.filters import NotificationFilter
from kilo_common.bus.middleware.base import Chain, Incoming, MessageKind, Middleware
from kilo_common.bus.serializer import JsonSerializer, Serializer
from kilo_common.bus.serving import Serving, Source
from kilo_common.bus.target import Target
from kilo_common.bus.transport import Delivery, Transport
from kilo_common.bus.verdict import REQUEUE, Outcome, Verdict

log = logging.getLogger(__name__)
PAUSE = 0.1
"""Seconds a worker rests before it gives back what could not be handled: no busy loop."""
Handle = Callable[[Notification], Verdict | None]
"""Returns when the notification is dealt with; returns `verdict.REQUEUE` or raises to get it
again; returns `verdict.reject(reason)` to put it among the dead letters."""
HandleBatch = Callable[[Sequence[Notification]], Verdict | None]
"""The same for several; the verdict is on all of them."""


def notification_sources(
    topic: str | Sequence[str], exchange: str, priorities: Sequence[str], pool: str
) -> list[Source]:
    """The queues of every given priority of every given topic."""
    topics = (topic,) if isinstance(topic, str) else topic
    return [
        Source(Target(f"{name}.{priority}", exchange=exchange).topic_address, pool)
        for name in topics
        for priority in priorities
    ]


class _Reader:
    """Gets notifications out of deliveries; settles at once what is unreadable or unwanted."""

    def __init__(self, accept: NotificationFilter | None, serializer: Serializer | None) -> None:
        self._accept = accept
        self._serializer = serializer or JsonSerializer()

    def read(self, delivery: Delivery) -> Notification | None:
        try:
            notification = Notification.from_message(unwrap(delivery.body))
        except EnvelopeInvalid as fault:
            log.warning("a notification is refused: %s", fault)
            delivery.reject(str(fault))
            return None
        if self._accept is not None and not self._accept.matches(notification):
            delivery.ack()
            return None
        return notification.with_payload(self._serializer.load(notification.payload))


class NotificationListener:
    """Consumes the given priorities of notification topics until it is stopped."""

    def __init__(
        self,
        transport: Transport,
        handle: Handle,
        *,
        topic: str | Sequence[str] = "notifications",
        exchange: str = "openstack",
        priorities: Sequence[str] = ("info",),
        pool: str = "",
        accept: NotificationFilter | None = None,
        workers: int = 4,
        executor: str = "threads",
        serializer: Serializer | None = None,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        """Listeners of the same `pool` share the notifications; each pool gets every one. What
        `accept` does not match is acknowledged and not handled."""
        self._handle = handle
        self._reader = _Reader(accept, serializer)
        self._chain = Chain(middleware)
        name = f"listener-{topic}"
        self._executor = open_executor(executor, self._serve, workers, name)
        sources = notification_sources(topic, exchange, priorities, pool)
        self._serving = Serving(transport, sources, self._executor, prefetch=4 * workers)

    def start(self) -> None:
        """Begin to listen.

        Raises:
            BusUnavailable: the broker cannot be reached; nothing is left running.
        """
        self._serving.start()

    def stop(self, timeout: float) -> None:
        """Take no more and finish what is in hand. What is not finished within `timeout` seconds
        is not acknowledged: it comes again, here or elsewhere."""
        self._serving.stop(timeout)

    def serve_forever(self) -> None:
        """Start, and listen until somebody calls `stop`; with the executor `blocking` on the thread
        that calls this. Raises as `start`."""
        self._serving.run()

    def _serve(self, delivery: Delivery) -> None:
        notification = self._reader.read(delivery)
        if notification is None:
            return
        incoming = _incoming(notification, delivery)
        verdict, error = self._chain.handle(incoming, lambda: self._handle(notification))
        if error is not None and verdict is None:
            log.error("%s could not be handled; it comes again", incoming.name, exc_info=error)
        verdict = verdict or REQUEUE
        if verdict.outcome is Outcome.AGAIN:
            self._executor.pause(PAUSE)
        verdict.settle(delivery)


class BatchNotificationListener:
    """Hands over notifications by the batch: `size` of them, or what came within `wait` seconds of
    the first. A batch is settled as one: all are done, or all come again. Only when a middleware
    would bury some after a failure, each of them is handed over once more by itself, so that none
    is buried for the company it was in."""

    def __init__(
        self,
        transport: Transport,
        handle: HandleBatch,
        *,
        size: int = 100,
        wait: float = 1.0,
        topic: str | Sequence[str] = "notifications",
        exchange: str = "openstack",
        priorities: Sequence[str] = ("info",),
        pool: str = "",
        accept: NotificationFilter | None = None,
        serializer: Serializer | None = None,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        """The hooks of `middleware` are called for each notification of a batch."""
        self._handle = handle
        self._reader = _Reader(accept, serializer)
        self._chain = Chain(middleware)
        self._executor = BatchExecutor(self._serve, size=size, wait=wait, name=f"batch-{topic}")
        sources = notification_sources(topic, exchange, priorities, pool)
        self._serving = Serving(transport, sources, self._executor, prefetch=size)

    def start(self) -> None:
        """Begin to listen. Raises as `NotificationListener.start`."""
        self._serving.start()

    def stop(self, timeout: float) -> None:
        """Take no more and finish the batch in hand; see `NotificationListener.stop`."""
        self._serving.stop(timeout)

    def _serve(self, deliveries: Sequence[Delivery]) -> None:
        batch: list[Incoming] = []
        for delivery in deliveries:
            notification = self._reader.read(delivery)
            if notification is not None:
                batch.append(_incoming(notification, delivery))
        if batch:
            self._serve_together(batch)

    def _serve_together(self, batch: Sequence[Incoming]) -> None:
        for each in batch:
            each.together = len(batch)
        results = self._chain.handle_batch(batch, self._work)
        alone: list[Incoming] = []
        verdicts: list[tuple[Incoming, Verdict]] = []
        for each, (verdict, error) in zip(batch, results, strict=True):
            doomed = error is not None and verdict is not None and verdict.outcome is Outcome.DEAD
            if doomed and len(batch) > 1:
                alone.append(each)
            else:
                verdicts.append((each, verdict or REQUEUE))
        fault = next((error for verdict, error in results if error and verdict is None), None)
        if fault is not None:
            log.error(
                "%d notifications are not handled; they come again", len(batch), exc_info=fault
            )
        if any(verdict.outcome is Outcome.AGAIN for _, verdict in verdicts):
            self._executor.pause(PAUSE)
        for each, verdict in verdicts:
            verdict.settle(each.delivery)
        for each in alone:
            self._serve_together([each])

    def _work(self, batch: Sequence[Incoming]) -> Verdict | None:
        contents = (each.content for each in batch)
        return self._handle([each for each in contents if isinstance(each, Notification)])


def _incoming(notification: Notification, delivery: Delivery) -> Incoming:
    return Incoming(MessageKind.NOTIFICATION, notification.event_type, notification, delivery)
