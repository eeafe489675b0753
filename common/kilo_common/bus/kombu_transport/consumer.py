"""Consuming: one connection for all consumers of a process, a channel for each.

The reader hands deliveries over and never works on them; `prefetch` bounds what a consumer has in
hand, so one that is slow holds up neither the others nor a heartbeat.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from kilo_common.bus.errors import BusUnavailable, NoRoute
from kilo_common.bus.kombu_transport import counted, frames
from kilo_common.bus.kombu_transport.declare import declare_queue
from kilo_common.bus.kombu_transport.keeper import Keeper
from kilo_common.bus.kombu_transport.link import BROKER_ERRORS, Link, LinkChannel
from kilo_common.bus.kombu_transport.profile import Profile
from kilo_common.bus.topology import QueuePlan
from kilo_common.bus.transport import Consumer, Deliver, Delivery
from kilo_common.bus.url import BusUrl

log = logging.getLogger(__name__)
Bury = Callable[[bytes, Mapping[str, str], str], None]
Renew = Callable[[bytes, Mapping[str, str], float | None], None]
ATTACH_TIMEOUT = 10.0


class KombuConsumer(Consumer):
    """Reads one queue. After a lost connection, what was unacknowledged comes again."""

    def __init__(
        self,
        plan: Callable[[bool], QueuePlan],
        deliver: Deliver,
        prefetch: int,
        bury: Bury,
        renew: Renew,
        *,
        owned: bool,
    ) -> None:
        """`plan` says what to declare on a broker that wants all queues durable, or on one that
        does not. `bury` puts away a message that is rejected, before it is acknowledged; `renew`
        sends one again (body, headers, seconds to live) that may not be given back any more. An
        `owned` queue is nobody else's and goes when the consumer is cancelled."""
        self.name = plan(False).name
        self._plan = plan
        self.cancelled = False
        self._deliver = deliver
        self._prefetch = prefetch
        self._bury = bury
        self._renew = renew
        self._owned = owned
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._channel: LinkChannel | None = None
        self._in_hand: set[int] = set()
        self._tag = f"kilostack-{id(self):x}"

    def attach(self, link: Link) -> None:
        """Declare and consume on `link`, if that is not so already.

        Raises:
            one of BROKER_ERRORS.
        """
        if self._link is link or self.cancelled:
            return
        deadline = time.monotonic() + ATTACH_TIMEOUT
        declare_queue(link, self._plan(link.durable_only), deadline)
        channel = link.channel(deadline, lambda fault: self._detach(link, fault))
        channel.basic_qos(0, self._prefetch, False)
        with self._lock:
            self._link, self._channel, self._in_hand = link, channel, set()
        # Before the broker is asked: the first message may come with its answer.
        channel.callbacks[self._tag] = lambda message: self._take(channel, message)
        channel.basic_consume(
            self.name,
            consumer_tag=self._tag,
            callback=channel.callbacks[self._tag],
            on_cancel=lambda _tag: channel.close_by(LookupError("the queue was deleted")),
        )

    def cancel(self) -> None:
        with self._lock:
            if self.cancelled:
                return
            self.cancelled = True
            channel = self._channel
        try:
            if channel is not None and channel.connection is not None:
                channel.basic_cancel(self._tag, nowait=True)
                if self._owned:
                    channel.queue_delete(self.name, nowait=True)
        except BROKER_ERRORS as fault:
            log.debug("a consumer is cancelled with its connection: %s", fault)
        self._let_go()

    def _detach(self, link: Link, fault: Exception) -> None:
        if link.alive and not self.cancelled:
            log.warning("the consumer of %s is interrupted: %s", self.name, fault)
        with self._lock:
            if self._link is link:
                self._link = self._channel = None

    def _take(self, channel: LinkChannel, message: Any) -> None:
        tag: int = message.delivery_tag
        if self.cancelled:
            self._send(channel, frames.requeue(channel.number, tag))
            return
        self._in_hand.add(tag)
        body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
        said = {str(key): str(value) for key, value in (message.headers or {}).items()}
        count, headers = counted.read(said)

        def reject(reason: str) -> None:
            self._bury(body, counted.plain(headers), reason)
            self._settle(channel, tag, frames.ack)

        def requeue() -> None:
            again = frames.requeue
            if count.renews and self._renewed(
                body, counted.headers_of_copy(count, headers), message
            ):
                again = frames.ack
            self._settle(channel, tag, again)

        delivery = Delivery(
            body=body,
            redelivered=bool(message.delivery_info["redelivered"]) or count.total > 0,
            headers=headers,
            ack=lambda: self._settle(channel, tag, frames.ack),
            requeue=requeue,
            reject=reject,
        )
        if count.overdue:
            # Not here: the reader must read on.
            threading.Thread(target=self._give_up, args=(delivery, count), daemon=True).start()
            return
        try:
            self._deliver(delivery)
        except Exception:
            log.exception("a consumer failed to take a message")
            delivery.requeue()

    def _renewed(self, body: bytes, headers: Mapping[str, str], message: Any) -> bool:
        """Whether the message was sent again. If it was not, it is given back as it is."""
        left = message.properties.get("expiration")
        try:
            self._renew(body, headers, None if left is None else int(left) / 1000)
        except (BusUnavailable, NoRoute) as fault:
            log.warning("a message of %s cannot be sent again: %s", self.name, fault)
            return False
        return True

    def _give_up(self, delivery: Delivery, count: counted.Count) -> None:
        reason = f"given out {count.total} times, and nobody finished or gave it back"
        log.error("a message of %s is a dead letter: %s", self.name, reason)
        try:
            delivery.reject(reason)
        except BusUnavailable as fault:  # it stays unacknowledged; the broker is away anyway
            log.warning("it cannot be put among them yet: %s", fault)

    def _settle(self, channel: LinkChannel, tag: int, form: Callable[[int, int], bytes]) -> None:
        with self._lock:
            if channel is not self._channel or tag not in self._in_hand:
                return  # the connection it came by is gone: the broker gives it out again
            self._in_hand.discard(tag)
        self._send(channel, form(channel.number, tag))
        if self.cancelled:
            self._let_go()

    def _send(self, channel: LinkChannel, frame: bytes) -> None:
        link = self._link
        if link is not None and channel is self._channel:
            link.outbox.put(frame)

    def _let_go(self) -> None:
        """Close the channel of a cancelled consumer once nothing of it is in hand."""
        with self._lock:
            if self._in_hand or self._channel is None:
                return
            channel, self._channel = self._channel, None
        channel.abandon()


class Consumers:
    """The consuming connection."""

    def __init__(self, url: BusUrl, profile: Profile) -> None:
        self._keeper = Keeper(url, profile, name="bus-consumers", tend=self._tend)
        self._lock = threading.Lock()
        self._all: list[KombuConsumer] = []

    def add(self, consumer: KombuConsumer) -> None:
        """Let `consumer` consume until it is cancelled.

        Raises:
            BusUnavailable: no broker answers.
        """
        try:
            link = self._keeper.get(time.monotonic() + ATTACH_TIMEOUT, patient=False)
            consumer.attach(link)
        except BROKER_ERRORS as fault:
            consumer.cancel()
            raise BusUnavailable(
                f"The broker cannot be consumed from: {fault}", may_have_been_published=False
            ) from fault
        with self._lock:
            self._all = [each for each in self._all if not each.cancelled] + [consumer]

    def reopen(self) -> None:
        """Undo `close`."""
        self._keeper.reopen()

    def close(self, timeout: float) -> None:
        """Cancel all, write the acknowledgements in line, disconnect."""
        with self._lock:
            consumers, self._all = self._all, []
        for consumer in consumers:
            consumer.cancel()
        self._keeper.close(timeout)

    def _tend(self, link: Link) -> None:
        """Bring every consumer onto the link: all when it is new, later those that lost their
        channel."""
        with self._lock:
            consumers = list(self._all)
        for consumer in consumers:
            try:
                consumer.attach(link)
            except BROKER_ERRORS as fault:
                if not link.alive:
                    raise
                log.warning("%s cannot be consumed yet: %s", consumer.name, fault)
