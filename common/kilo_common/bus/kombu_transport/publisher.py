"""The publishing connection: one message at a time, each confirmed by the broker."""

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import kombu

from kilo_common.bus.errors import BusUnavailable, NoRoute
from kilo_common.bus.kombu_transport.connection import (
    BROKER_ERRORS,
    backoff,
    connect,
    declare_exchange,
    declare_queue,
    discard,
)
from kilo_common.bus.target import Address, Kind
from kilo_common.bus.topology import ExchangePlan, Topology
from kilo_common.bus.url import BusUrl

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parcel:
    """What is to be published, and where to."""

    address: Address
    body: bytes
    ttl: float | None
    mandatory: bool
    headers: Mapping[str, str]


class Publisher:
    """The publishing connection: one message at a time, each confirmed."""

    def __init__(self, url: BusUrl, topology: Topology) -> None:
        self._url = url
        self._topology = topology
        self._lock = threading.Lock()
        self._connection: kombu.Connection | None = None
        self._producer: Any = None
        self._declared: set[ExchangePlan] = set()
        self._returned: list[Any] = []
        self._turn = 0

    def check(self) -> None:
        with self._lock:
            try:
                if self._connection is None or not self._connection.connected:
                    self._open()
            except BROKER_ERRORS as fault:
                self._drop()
                raise BusUnavailable(f"The broker does not answer: {fault}") from fault

    def beat(self) -> None:
        if not self._lock.acquire(blocking=False):
            return  # a publish is under way: the broker hears from us anyway
        try:
            if self._connection is not None:
                self._connection.heartbeat_check()
        except BROKER_ERRORS as fault:
            log.warning("the publishing connection is lost: %s", fault)
            self._drop()
        finally:
            self._lock.release()

    def close(self) -> None:
        with self._lock:
            self._drop()

    def publish(self, parcel: Parcel, timeout: float) -> None:
        """Publish and return after the broker confirmed. Raises as `Transport.publish`."""
        deadline = time.monotonic() + timeout
        if not self._lock.acquire(timeout=timeout):
            raise BusUnavailable(f"The bus was busy for {timeout:g} s; nothing was published")
        try:
            self._publish(parcel, deadline)
        finally:
            self._lock.release()

    def _publish(self, parcel: Parcel, deadline: float) -> None:
        attempt = 0
        while True:
            attempt += 1
            try:
                self._publish_once(parcel, deadline)
                return
            except (*BROKER_ERRORS, BusUnavailable) as fault:
                self._drop()
                self._turn += 1
                name, pause = parcel.address.name, backoff(attempt)
                if time.monotonic() + pause >= deadline:
                    raise BusUnavailable(
                        f"The broker did not confirm a message in time: {fault}; "
                        "it may have been published",
                        address=name,
                    ) from fault
                log.warning("publishing to %s failed (%s); trying again", name, fault)
                time.sleep(pause)

    def _publish_once(self, parcel: Parcel, deadline: float) -> None:
        if self._connection is None:
            self._open()
        address = parcel.address
        exchange = self._topology.exchange(address)
        if exchange not in self._declared:
            declare_exchange(self._connection, exchange)
            self._declared.add(exchange)
        # A queue is only made for a message that would otherwise go nowhere: a notification that
        # some pool gets leaves nothing behind in a queue that nobody reads.
        lasting = address.kind in (Kind.QUEUE, Kind.DEAD)
        if self._send(exchange, parcel, parcel.mandatory or lasting, deadline):
            return
        if parcel.mandatory:
            raise NoRoute(f"Nobody listens at {address.name}", address=address.name)
        declare_queue(self._connection, self._topology.queue(address, "", ""))
        self._send(exchange, parcel, False, deadline)

    def _send(
        self, exchange: ExchangePlan, parcel: Parcel, must_route: bool, deadline: float
    ) -> bool:
        """Publish and wait for the confirmation; whether the message went to any queue."""
        self._returned.clear()
        self._producer.publish(
            parcel.body,
            exchange=exchange.name,
            routing_key=self._topology.routing_key(parcel.address),
            content_type="application/json",
            content_encoding="utf-8",
            delivery_mode=2,
            mandatory=must_route,
            expiration=parcel.ttl,
            headers=parcel.headers,
            confirm_timeout=max(0.1, deadline - time.monotonic()),
        )
        return not self._returned

    def _open(self) -> None:
        self._connection = connect(self._url, self._turn, confirm=True)
        channel = self._connection.channel()
        # Recorded here and looked at after the confirmation, which always follows a return.
        channel.events["basic_return"].add(lambda *returned: self._returned.append(returned))
        self._producer = kombu.Producer(channel, auto_declare=False)
        self._declared.clear()

    def _drop(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        discard(connection)
