"""One consumer of a store: a connection and a thread of its own, which alone uses it."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from typing import Any

from kilo_common.bus.errors import BusUnavailable
from kilo_common.bus.kombu_transport.connection import backoff
from kilo_common.bus.kombu_transport.virtual.store import Store
from kilo_common.bus.transport import Consumer, Deliver, Delivery

log = logging.getLogger(__name__)
Bury = Callable[[bytes, Mapping[str, str], str], None]
EXPIRES = "kilo-expires"
"""Our header in place of an expiry that the store does not know: seconds since 1970."""
REDELIVERED = "kilo-redelivered"
"""Our header on a message that was given back."""
DRAIN = 0.01
"""Seconds a read waits before the thread looks for deliveries that were settled."""
START_TIMEOUT = 10.0
CANCEL_TIMEOUT = 5.0


class VirtualConsumer(Consumer):
    """Reads one queue of a store."""

    def __init__(
        self, store: Store, queue: Any, deliver: Deliver, prefetch: int, bury: Bury, *, owned: bool
    ) -> None:
        """`bury` puts away a message that is rejected. An `owned` queue goes with its consumer."""
        self._store = store
        self._queue = queue
        self._deliver = deliver
        self._prefetch = prefetch
        self._bury = bury
        self._owned = owned
        self._settled: SimpleQueue[tuple[Any, Any, bool]] = SimpleQueue()
        self._in_hand: dict[Any, Any] = {}
        self._cancelled = threading.Event()
        self._closed = threading.Event()
        self._up = threading.Event()
        self._idle = threading.Event()
        self._fault: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="bus-consumer", daemon=True)

    def start(self) -> None:
        """Begin to consume.

        Raises:
            BusUnavailable: the store cannot be reached.
        """
        self._thread.start()
        if not self._up.wait(START_TIMEOUT) or self._fault is not None:
            self._closed.set()
            raise BusUnavailable(
                f"The store of the bus cannot be reached: {self._fault}",
                may_have_been_published=False,
            )

    def cancel(self) -> None:
        self._cancelled.set()
        if threading.current_thread() is not self._thread:
            self._idle.wait(CANCEL_TIMEOUT)

    def close(self, timeout: float) -> None:
        """Settle what was settled, give the rest back, and end."""
        self._closed.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            self._keep_consuming()
        finally:
            self._idle.set()

    def _keep_consuming(self) -> None:
        failures = 0
        while not self._closed.is_set():
            try:
                with self._store.connect() as connection:
                    self._consume(connection)
                return
            except Exception as fault:  # noqa: BLE001 - each store has errors of its own
                failures += 1
                if not self._up.is_set():
                    self._fault = fault
                    self._up.set()
                    return
                log.warning("the consumer of %s lost its store: %s", self._queue.name, fault)
                self._closed.wait(backoff(failures))

    def _consume(self, connection: Any) -> None:
        channel = connection.channel()
        bound = self._queue(channel)
        bound.declare()
        channel.basic_qos(0, self._prefetch, False)
        tag = f"kilostack-{id(self):x}"
        bound.consume(tag, callback=lambda message: self._take(channel, message))
        self._in_hand = {}
        self._up.set()
        consuming = True
        while not self._closed.is_set():
            self._settle_all(channel)
            if consuming and self._cancelled.is_set():
                consuming = False
                channel.basic_cancel(tag)
                if self._owned:
                    channel.queue_delete(self._queue.name)
                self._idle.set()
            if not consuming and not self._in_hand:
                break
            # Also when cancelled: a read that was under way may still bring a message, which kombu
            # then puts back.
            with contextlib.suppress(TimeoutError):
                connection.drain_events(timeout=DRAIN)
        self._settle_all(channel)
        for tag in list(self._in_hand):
            self._give_back(channel, tag)
        channel.close()

    def _settle_all(self, channel: Any) -> None:
        while True:
            try:
                origin, tag, done = self._settled.get_nowait()
            except Empty:
                return
            if origin is not channel or tag not in self._in_hand:
                continue  # the connection it came by is gone
            if done:
                del self._in_hand[tag]
                channel.basic_ack(tag)
            else:
                self._give_back(channel, tag)

    def _give_back(self, channel: Any, tag: Any) -> None:
        """Put a message at the end of its queue. kombu's own way would put it into every queue that
        is bound to the same key, and so give other pools a second copy."""
        message = self._in_hand.pop(tag)
        headers = {**(message.headers or {}), REDELIVERED: "true"}
        again = channel.prepare_message(
            message.body, 0, message.content_type, message.content_encoding, headers, {}
        )
        channel.basic_publish(again, exchange="", routing_key=self._queue.name)
        channel.basic_ack(tag)

    def _take(self, channel: Any, message: Any) -> None:
        tag = message.delivery_tag
        headers = {str(key): str(value) for key, value in (message.headers or {}).items()}
        expires = headers.pop(EXPIRES, None)
        redelivered = headers.pop(REDELIVERED, "") == "true"
        if self._cancelled.is_set():
            self._in_hand[tag] = message
            self._give_back(channel, tag)
            return
        if expires is not None and float(expires) <= time.time():
            channel.basic_ack(tag)
            return
        self._in_hand[tag] = message
        body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)

        def settle(done: bool) -> None:
            self._settled.put((channel, tag, done))

        def reject(reason: str) -> None:
            self._bury(body, headers, reason)
            settle(True)

        delivery = Delivery(
            body=body,
            redelivered=redelivered or bool(message.delivery_info.get("redelivered")),
            headers=headers,
            ack=lambda: settle(True),
            requeue=lambda: settle(False),
            reject=reject,
        )
        try:
            self._deliver(delivery)
        except Exception:
            log.exception("a consumer failed to take a message")
            delivery.requeue()
