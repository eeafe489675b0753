"""`rabbit://`, `amqp://` and `qpid://`: the driver as the bus sees it.

URL options: `durable` (default true: work queues survive a restart of the broker), `quorum`,
`temporary` (the broker cleans up after the last use: for tests and trials), and `heartbeat` in
seconds (default 10). Several hosts are tried in turn.
"""

import time
import uuid
from collections.abc import Mapping
from functools import partial

from kilo_common.bus.kombu_transport.consumer import Consumers, KombuConsumer
from kilo_common.bus.kombu_transport.profile import PROFILES
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
from kilo_common.bus.url import BusUrlInvalid, parse

OPTIONS = frozenset({"durable", "quorum", "temporary", "heartbeat"})


class KombuTransport(Transport):
    """AMQP 0-9-1 in oslo.messaging's topology."""

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
        parsed = parse(url, known=OPTIONS)
        profile = PROFILES[parsed.scheme]
        parsed.number("heartbeat", 1)  # a bad one is said now, not at the first connection
        self._topology = Topology(
            durable=parsed.flag("durable", True),
            quorum=parsed.flag("quorum", False),
            temporary=parsed.flag("temporary", False),
            extensions=profile.extensions,
        )
        if self._topology.quorum and not profile.extensions:
            raise BusUrlInvalid("bus.url: quorum queues are RabbitMQ's alone", option="quorum")
        self._publisher = Publisher(parsed, self._topology, profile)
        self._consumers = Consumers(parsed, profile)

    def start(self) -> None:
        self._consumers.reopen()
        self._publisher.open()

    def stop(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        self._consumers.close(timeout)
        self._publisher.close(max(0.0, deadline - time.monotonic()))

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
        self._publisher.publish(Parcel(address, body, ttl, mandatory, headers or {}), timeout)

    def consume(
        self, address: Address, deliver: Deliver, *, group: str = "", prefetch: int = 16
    ) -> Consumer:
        plan = partial(self._topology.queue, address, group, uuid.uuid4().hex)

        def bury(body: bytes, headers: Mapping[str, str], reason: str) -> None:
            if address.kind is Kind.QUEUE:
                reasoned = {**headers, DEAD_REASON: reason[:REASON_LIMIT]}
                self.publish(address.dead_letters(group), body, headers=reasoned)

        def renew(body: bytes, headers: Mapping[str, str], ttl: float | None) -> None:
            same = Address(Kind.QUEUE, "", consumer.name)  # whatever else is bound to its key
            self.publish(same, body, ttl=ttl, mandatory=True, headers=headers)

        owned = address.kind in (Kind.REPLY, Kind.FANOUT)
        consumer = KombuConsumer(plan, deliver, prefetch, bury, renew, owned=owned)
        self._consumers.add(consumer)
        return consumer
