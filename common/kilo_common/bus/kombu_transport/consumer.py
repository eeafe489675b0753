"""One consumer: a connection and a thread of its own, reconnecting until it is cancelled.

The thread alone reads the socket. Acknowledgements come from other threads, so every write goes
through one lock; a read holds no lock, or a quiet queue would hold up acknowledgements.
"""

import itertools
import logging
import random
import threading
from collections.abc import Callable, Mapping
from typing import Any

import kombu

from kilo_common.bus.errors import BusUnavailable
from kilo_common.bus.kombu_transport.connection import (
    BROKER_ERRORS,
    backoff,
    connect,
    declare_queue,
    discard,
    hang_up,
)
from kilo_common.bus.topology import QueuePlan
from kilo_common.bus.transport import Consumer, Deliver, Delivery
from kilo_common.bus.url import BusUrl

log = logging.getLogger(__name__)
Bury = Callable[[bytes, Mapping[str, str], str], None]
POLL = 1.0
"""Seconds a read waits before the thread looks at its heartbeat and at whether to go on."""


class KombuConsumer(Consumer):
    """Reads one queue. After a lost connection, what was unacknowledged comes again."""

    def __init__(
        self, url: BusUrl, plan: QueuePlan, deliver: Deliver, prefetch: int, bury: Bury
    ) -> None:
        """`bury` puts away a message that is rejected, before it is acknowledged."""
        self._url = url
        self._plan = plan
        self._deliver = deliver
        self._prefetch = prefetch
        self._bury = bury
        self._writing = threading.Lock()
        self._connection: kombu.Connection | None = None
        self._channel: Any = None
        self._in_hand: set[int] = set()
        self._cancelled = False
        self._closed = threading.Event()
        self._turns = itertools.count()
        self._tag = f"kilostack-{id(self):x}"
        self._thread = threading.Thread(target=self._run, name="bus-consumer", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Connect, declare and consume; from here on the thread sees to it.

        Raises:
            BusUnavailable: no broker answers.
        """
        try:
            self._open()
        except BROKER_ERRORS as fault:
            self._drop()
            raise BusUnavailable(f"The broker cannot be consumed from: {fault}") from fault
        self._thread.start()

    def cancel(self) -> None:
        if self._cancelled:
            return
        self._cancelled = True
        self._write(lambda channel: channel.basic_cancel(self._tag, nowait=True))

    def close(self) -> None:
        """Give up the connection, and with it everything unacknowledged."""
        self._cancelled = True
        self._closed.set()
        if self._connection is not None:
            hang_up(self._connection)

    def join(self, timeout: float) -> None:
        """Wait until the thread has ended."""
        self._thread.join(timeout)

    def _open(self) -> None:
        connection = connect(self._url, next(self._turns), confirm=False)
        self._connection = connection
        declare_queue(connection, self._plan)
        channel = connection.channel()
        channel.basic_qos(0, self._prefetch, False)
        self._in_hand = set()
        self._channel = channel
        channel.basic_consume(
            self._plan.name,
            consumer_tag=self._tag,
            callback=lambda message: self._take(channel, message),
        )

    def _drop(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        discard(connection)

    def _run(self) -> None:
        failures = 0
        while not self._closed.is_set():
            try:
                if self._connection is None:
                    if self._cancelled:
                        return
                    self._open()
                    log.info("reading %s again", self._plan.name)
                failures = 0
                self._read()
                if self._cancelled and not self._in_hand:
                    break
            except (*BROKER_ERRORS, BusUnavailable) as fault:
                if self._closed.is_set():
                    break
                failures += 1
                log.warning("the consumer of %s lost its broker: %s", self._plan.name, fault)
                self._drop()
                # Jitter, so that not every client of a broker comes back in the same instant.
                self._closed.wait(backoff(failures) * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        self._drop()

    def _read(self) -> None:
        assert self._connection is not None
        try:
            self._connection.drain_events(timeout=POLL)
        except TimeoutError:
            with self._writing:
                self._connection.heartbeat_check()

    def _take(self, channel: Any, message: Any) -> None:
        tag: int = message.delivery_tag
        self._in_hand.add(tag)
        body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
        headers = {str(key): str(value) for key, value in (message.headers or {}).items()}

        def reject(reason: str) -> None:
            self._bury(body, headers, reason)
            self._settle(channel, tag, "basic_ack")

        delivery = Delivery(
            body=body,
            redelivered=bool(message.delivery_info.get("redelivered")),
            headers=headers,
            ack=lambda: self._settle(channel, tag, "basic_ack"),
            requeue=lambda: self._settle(channel, tag, "basic_reject", requeue=True),
            reject=reject,
        )
        try:
            self._deliver(delivery)
        except Exception:
            log.exception("a consumer failed to take a message")
            delivery.requeue()

    def _settle(self, channel: Any, tag: int, verb: str, **arguments: bool) -> None:
        if channel is not self._channel:
            return  # the connection it came by is gone: the broker gives it out again
        self._write(lambda current: getattr(current, verb)(tag, **arguments))
        self._in_hand.discard(tag)

    def _write(self, action: Any) -> None:
        with self._writing:
            channel = self._channel
            if channel is None:
                return
            try:
                action(channel)
            except BROKER_ERRORS as fault:
                log.debug("a write to the broker failed; the reader will notice: %s", fault)
