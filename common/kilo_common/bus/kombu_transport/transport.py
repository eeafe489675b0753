"""`rabbit://` and `amqp://`: the driver as the bus sees it.

URL options: `durable` (default true: work queues survive a restart of the broker), `quorum`, and
`temporary` (the broker cleans up after the last use: for tests and trials).
"""

import threading
import time
import uuid
from collections.abc import Mapping

from kilo_common.bus.kombu_transport.connection import HEARTBEAT
from kilo_common.bus.kombu_transport.consumer import KombuConsumer
from kilo_common.bus.kombu_transport.publisher import Parcel, Publisher
from kilo_common.bus.target import Address, Kind
from kilo_common.bus.topology import Topology
from kilo_common.bus.transport import (
    DEAD_REASON,
    REASON_LIMIT,
    Capability,
    Consumer,
    Deliver,
    Transport,
)
from kilo_common.bus.url import parse


class KombuTransport(Transport):
    """`rabbit://` and `amqp://`: RabbitMQ, in oslo.messaging's topology."""

    capabilities = frozenset(
        {
            Capability.DURABLE,
            Capability.BETWEEN_PROCESSES,
            Capability.MANDATORY,
            Capability.EXPIRATION,
            Capability.ORDERED,
        }
    )

    def __init__(self, url: str) -> None:
        self._url = parse(url, known=frozenset({"durable", "quorum", "temporary"}))
        self._topology = Topology(
            durable=self._url.flag("durable", True),
            quorum=self._url.flag("quorum", False),
            temporary=self._url.flag("temporary", False),
        )
        self._publisher = Publisher(self._url, self._topology)
        self._consumers: list[KombuConsumer] = []
        self._stopping = threading.Event()
        self._beats: threading.Thread | None = None

    def start(self) -> None:
        self._stopping.clear()
        self._publisher.check()
        self._beats = threading.Thread(target=self._beat, name="bus-heartbeat", daemon=True)
        self._beats.start()

    def stop(self, timeout: float) -> None:
        self._stopping.set()
        for consumer in self._consumers:
            consumer.close()
        deadline = time.monotonic() + timeout
        for consumer in self._consumers:
            consumer.join(max(0.0, deadline - time.monotonic()))
        self._consumers.clear()
        if self._beats is not None:
            self._beats.join(max(0.0, deadline - time.monotonic()))
        self._publisher.close()

    def check(self) -> None:
        self._publisher.check()

    def publish(
        self,
        address: Address,
        body: bytes,
        *,
        ttl: float | None = None,
        mandatory: bool = False,
        timeout: float = 30.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        parcel = Parcel(address, body, ttl, mandatory, dict(headers or {}))
        self._publisher.publish(parcel, timeout)

    def consume(
        self, address: Address, deliver: Deliver, *, group: str = "", prefetch: int = 16
    ) -> Consumer:
        plan = self._topology.queue(address, group, uuid.uuid4().hex)

        def bury(body: bytes, headers: Mapping[str, str], reason: str) -> None:
            if address.kind is Kind.QUEUE:
                reasoned = {**headers, DEAD_REASON: reason[:REASON_LIMIT]}
                self.publish(address.dead_letters(group), body, headers=reasoned)

        consumer = KombuConsumer(self._url, plan, deliver, prefetch, bury)
        consumer.start()
        self._consumers = [each for each in self._consumers if each.alive] + [consumer]
        return consumer

    def _beat(self) -> None:
        while not self._stopping.wait(HEARTBEAT / 4):
            self._publisher.beat()
