"""`redis://`, `sqlalchemy+…://`, `filesystem://`: the driver as the bus sees it."""

import logging
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from queue import SimpleQueue
from typing import Any

from kilo_common.bus.errors import BusUnavailable
from kilo_common.bus.kombu_transport.publisher import Parcel
from kilo_common.bus.kombu_transport.virtual.consumer import EXPIRES, VirtualConsumer
from kilo_common.bus.kombu_transport.virtual.store import SOCKET_TIMEOUT, Store, read_url
from kilo_common.bus.target import Address, Kind
from kilo_common.bus.transport import (
    DEAD_REASON,
    REASON_LIMIT,
    Capability,
    Consumer,
    Deliver,
    Transport,
)

log = logging.getLogger(__name__)
Job = tuple[Parcel | None, float, Future[None]]
"""What to publish (None: only see whether the store answers), until when, and word of it."""


class VirtualTransport(Transport):
    """A store with queues in it, by kombu."""

    capabilities = frozenset(
        {Capability.BETWEEN_PROCESSES, Capability.EXPIRATION, Capability.ORDERED}
    )

    def __init__(self, url: str) -> None:
        self._store = read_url(url)
        self._publisher: _Publisher | None = None
        self._lock = threading.Lock()
        self._consumers: list[VirtualConsumer] = []
        self._stopped = False

    def start(self) -> None:
        self._stopped = False
        self.check()

    def stop(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        with self._lock:
            self._stopped = True
            consumers, self._consumers = self._consumers, []
            publisher, self._publisher = self._publisher, None
        for consumer in consumers:
            consumer.close(max(0.0, deadline - time.monotonic()))
        if publisher is not None:
            publisher.close(max(0.0, deadline - time.monotonic()))

    def check(self) -> None:
        self._submit(None, 2 * SOCKET_TIMEOUT)

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
        self._submit(Parcel(address, body, ttl, mandatory, headers or {}), timeout)

    def consume(
        self, address: Address, deliver: Deliver, *, group: str = "", prefetch: int = 16
    ) -> Consumer:
        def bury(body: bytes, headers: Mapping[str, str], reason: str) -> None:
            if address.kind is Kind.QUEUE:
                reasoned = {**headers, DEAD_REASON: reason[:REASON_LIMIT]}
                self.publish(address.dead_letters(group), body, headers=reasoned)

        queue = self._store.queue(address, group, uuid.uuid4().hex)
        owned = address.kind in (Kind.REPLY, Kind.FANOUT)
        consumer = VirtualConsumer(self._store, queue, deliver, prefetch, bury, owned=owned)
        consumer.start()
        with self._lock:
            self._consumers.append(consumer)
        return consumer

    def _submit(self, parcel: Parcel | None, timeout: float) -> None:
        with self._lock:
            if self._stopped:
                raise BusUnavailable("The bus is stopped", may_have_been_published=False)
            if self._publisher is None:
                self._publisher = _Publisher(self._store)
            publisher = self._publisher
        told: Future[None] = Future()
        publisher.jobs.put((parcel, time.monotonic() + timeout, told))
        try:
            told.result(timeout)
        except FutureTimeout:
            sent = not told.cancel()
            known = "the message may have been published" if sent else "nothing was published"
            raise BusUnavailable(
                f"The store of the bus did not answer within {timeout:g} s; {known}",
                may_have_been_published=sent and parcel is not None,
            ) from None


class _Publisher:
    """A connection and the thread that alone uses it, so that a caller's time-out holds."""

    def __init__(self, store: Store) -> None:
        self.jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._store = store
        self._thread = threading.Thread(target=self._run, name="bus-publisher", daemon=True)
        self._thread.start()

    def close(self, timeout: float) -> None:
        self.jobs.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        connection: Any = None
        declared: set[Address] = set()
        while (job := self.jobs.get()) is not None:
            parcel, deadline, told = job
            if time.monotonic() > deadline:
                continue  # its caller has given up
            try:
                if connection is None:
                    connection = self._store.connect()
                    declared.clear()
                if parcel is None:
                    connection.default_channel.connection.client.ensure_connection(max_retries=1)
                else:
                    self._declare(connection, parcel.address, declared)
                # From here on its caller cannot withdraw it, and is told that it may be published.
                if told.set_running_or_notify_cancel() and parcel is not None:
                    self._publish(connection, parcel)
            except Exception as fault:  # noqa: BLE001 - each store has errors of its own
                log.warning("publishing failed: %s", fault)
                connection = None
                self._failed(told, fault)
            else:
                if not told.cancelled():
                    told.set_result(None)
        if connection is not None:
            connection.release()

    def _failed(self, told: "Future[None]", fault: Exception) -> None:
        sent = told.running()
        if sent or told.set_running_or_notify_cancel():
            told.set_exception(
                BusUnavailable(
                    f"The store of the bus failed: {fault}", may_have_been_published=sent
                )
            )

    def _declare(self, connection: Any, address: Address, declared: set[Address]) -> None:
        if address in declared:
            return
        # A store has no broker that could say that no queue is bound: the topic's own is made.
        if address.kind is Kind.QUEUE:
            self._store.queue(address, "", "")(connection.default_channel).declare()
        elif self._store.exchange(address).name:
            self._store.exchange(address)(connection.default_channel).declare()
        declared.add(address)

    def _publish(self, connection: Any, parcel: Parcel) -> None:
        store, address = self._store, parcel.address
        headers = dict(parcel.headers)
        if parcel.ttl is not None:
            headers[EXPIRES] = str(time.time() + parcel.ttl)
        connection.Producer(auto_declare=False).publish(
            parcel.body,
            exchange=store.exchange(address).name,
            routing_key=store.routing_key(address),
            content_type="application/json",
            content_encoding="utf-8",
            headers=headers,
            retry=False,
        )
