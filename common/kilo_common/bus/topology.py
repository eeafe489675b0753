"""What an address is on an AMQP 0-9-1 broker: exchanges, queues, keys, as oslo.messaging has them.

Pure values; `kombu_transport/declare.py` declares them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kilo_common.bus.target import Address, Kind

TRANSIENT_EXPIRY_MS = 1_800_000
"""Reply and fanout queues that nobody uses are removed by the broker after half an hour."""
TEMPORARY_EXPIRY_MS = 60_000


@dataclass(frozen=True)
class ExchangePlan:
    """An exchange to declare; one without a name is the broker's default and exists already."""

    name: str
    type: str = "topic"
    durable: bool = False
    auto_delete: bool = False


@dataclass(frozen=True)
class QueuePlan:
    """A queue to declare and bind."""

    exchange: ExchangePlan
    name: str
    routing_key: str
    durable: bool = False
    auto_delete: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Topology:
    """The rules by which addresses become exchanges and queues."""

    durable: bool
    """Work queues and their exchange survive a restart of the broker."""
    quorum: bool = False
    """Work queues are quorum queues."""
    temporary: bool = False
    """The broker removes exchanges and work queues a minute after the last use."""
    extensions: bool = True
    """The broker knows RabbitMQ's arguments of queues; without them, queues that are not to last go
    with their last consumer."""

    def exchange(self, address: Address) -> ExchangePlan:
        """The exchange that a message for `address` is published to."""
        if address.kind in (Kind.REPLY, Kind.DEAD):
            return ExchangePlan("", "direct")
        if address.kind is Kind.FANOUT:
            return ExchangePlan(f"{address.name}_fanout", "fanout", auto_delete=True)
        durable = self.durable and not self.temporary
        return ExchangePlan(address.exchange, durable=durable, auto_delete=self.temporary)

    def routing_key(self, address: Address) -> str:
        """The key that a message for `address` is published with."""
        if address.kind is Kind.FANOUT:
            return ""
        return _dead_queue(address) if address.kind is Kind.DEAD else address.name

    def queue(self, address: Address, group: str, unique: str) -> QueuePlan:
        """The queue that a consumer of `address` reads. `unique` tells fanout queues apart."""
        exchange = self.exchange(address)
        if address.kind is Kind.REPLY:
            return self._transient(exchange, address.name, address.name)
        if address.kind is Kind.FANOUT:
            return self._transient(exchange, f"{address.name}_fanout_{unique}", address.name)
        name = _dead_queue(address) if address.kind is Kind.DEAD else group or address.name
        arguments: dict[str, Any] = {"x-queue-type": "quorum"} if self.quorum else {}
        if self.temporary and self.extensions:
            arguments["x-expires"] = TEMPORARY_EXPIRY_MS
        return QueuePlan(
            exchange,
            name,
            self.routing_key(address),
            durable=self.quorum or (self.durable and not self.temporary),
            auto_delete=self.temporary and not self.extensions,
            arguments=arguments,
        )

    def _transient(self, exchange: ExchangePlan, name: str, key: str) -> QueuePlan:
        if self.extensions:
            return QueuePlan(exchange, name, key, arguments={"x-expires": TRANSIENT_EXPIRY_MS})
        return QueuePlan(exchange, name, key, auto_delete=True)


def _dead_queue(address: Address) -> str:
    return f"{address.name}.dead"
