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

    def queue(
        self, address: Address, group: str, unique: str, durable_only: bool = False
    ) -> QueuePlan:
        """The queue that a consumer of `address` reads. `unique` tells fanout queues apart; with
        `durable_only` the broker takes no others."""
        exchange = self.exchange(address)
        if address.kind in (Kind.REPLY, Kind.FANOUT):
            fanout = address.kind is Kind.FANOUT
            name = f"{address.name}_fanout_{unique}" if fanout else address.name
            return self._passing(exchange, name, address.name, durable_only)
        name = _dead_queue(address) if address.kind is Kind.DEAD else group or address.name
        arguments: dict[str, Any] = {"x-queue-type": "quorum"} if self.quorum else {}
        if self.temporary and self.extensions:
            arguments["x-expires"] = TEMPORARY_EXPIRY_MS
        return QueuePlan(
            exchange,
            name,
            self.routing_key(address),
            durable=durable_only or self.quorum or (self.durable and not self.temporary),
            auto_delete=self.temporary and not self.extensions,
            arguments=arguments,
        )

    def _passing(
        self, exchange: ExchangePlan, name: str, key: str, durable_only: bool
    ) -> QueuePlan:
        """A queue of one consumer. Its messages are not meant to survive the broker, nor is the
        queue, unless nothing else is to be had. Then it is on the nodes that work queues are on."""
        if not self.extensions:
            return QueuePlan(exchange, name, key, durable=durable_only, auto_delete=True)
        arguments: dict[str, Any] = {"x-expires": TRANSIENT_EXPIRY_MS}
        if durable_only and self.quorum:
            arguments["x-queue-type"] = "quorum"
        return QueuePlan(exchange, name, key, durable=durable_only, arguments=arguments)


def _dead_queue(address: Address) -> str:
    return f"{address.name}.dead"
