"""Listens to notifications and hands each to a function."""

import logging
from collections.abc import Callable, Sequence

from kilo_common.bus.envelope import Notification, unwrap
from kilo_common.bus.errors import EnvelopeInvalid
from kilo_common.bus.target import Target
from kilo_common.bus.transport import Consumer, Delivery, Transport
from kilo_common.bus.workers import DeliveryWorkers

log = logging.getLogger(__name__)
Handle = Callable[[Notification], None]
"""Returns when the notification is dealt with; raises to get it again."""


class NotificationListener:
    """Consumes the given priorities of a notification topic until it is stopped."""

    def __init__(
        self,
        transport: Transport,
        handle: Handle,
        *,
        topic: str = "notifications",
        exchange: str = "openstack",
        priorities: Sequence[str] = ("info",),
        pool: str = "",
        workers: int = 4,
    ) -> None:
        """Listeners of the same `pool` share the notifications; each pool gets every one."""
        self._transport = transport
        self._handle = handle
        self._targets = [Target(f"{topic}.{each}", exchange=exchange) for each in priorities]
        self._pool = pool
        self._prefetch = 4 * workers
        self._workers = DeliveryWorkers(self._serve, count=workers, name=f"listener-{topic}")
        self._consumers: list[Consumer] = []

    def start(self) -> None:
        """Begin to listen.

        Raises:
            BusUnavailable: the broker cannot be reached.
        """
        self._workers.start()
        for target in self._targets:
            self._consumers.append(
                self._transport.consume(
                    target.topic_address,
                    self._workers.submit,
                    group=self._pool,
                    prefetch=self._prefetch,
                )
            )

    def stop(self, timeout: float) -> None:
        """Take no more, finish what is in hand."""
        while self._consumers:
            self._consumers.pop().cancel()
        self._workers.stop(timeout)

    def _serve(self, delivery: Delivery) -> None:
        try:
            notification = Notification.from_message(unwrap(delivery.body))
        except EnvelopeInvalid as fault:
            log.warning("a notification is refused: %s", fault)
            delivery.reject(str(fault))
            return
        self._handle(notification)
        delivery.ack()
