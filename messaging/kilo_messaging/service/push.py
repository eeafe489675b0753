"""The push hub: what was posted goes to whoever is subscribed, in this process and in others.

A poster only puts its messages in a bounded line and goes on. One worker hands them to the
subscribers here, another announces them on the bus. Push is a courtesy and not a promise: what
does not fit the line is dropped with a line in the log, and the messages stay in their topic.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from queue import Empty, Full, Queue
from typing import Any

import msgspec

from kilo_common.bus.errors import BusUnavailable
from kilo_common.bus.target import Address
from kilo_common.bus.transport import Capability, Consumer, Delivery, Transport
from kilo_messaging.domain.message import Message
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.service.arrivals import Arrivals

log = logging.getLogger(__name__)
LINE = 10_000
BATCH = 100
NOTIFICATION = "Notification"
PUSH_TOPIC = "messaging.push"
"""The topic on which the processes of the service announce to each other what was posted."""


class Push(msgspec.Struct, frozen=True):
    """One message on its way to subscribers."""

    project_id: str
    queue_name: str
    body: msgspec.Raw
    ttl: int
    group: str | None = None
    attributes: msgspec.Raw | None = None

    def frame(self) -> bytes:
        """What a subscriber receives, as JSON; exactly four keys, and what the poster added."""
        frame: dict[str, Any] = {
            "body": self.body,
            "ttl": self.ttl,
            "queue_name": self.queue_name,
            "Message_Type": NOTIFICATION,
        }
        if self.group is not None:
            frame["group"] = self.group
        if self.attributes is not None:
            frame["attributes"] = self.attributes
        return msgspec.json.encode(frame)


def _push(key: TopicKey, message: Message) -> Push:
    attributes = None if message.attributes is None else msgspec.Raw(message.attributes)
    return Push(
        key.project_id,
        key.name,
        msgspec.Raw(message.body),
        message.ttl,
        message.group,
        attributes,
    )


class Bundle(msgspec.Struct, frozen=True):
    """What one process announces to the others."""

    origin: str
    pushes: list[Push]


Deliver = Callable[[bytes], None]
"""Takes a frame and returns at once, whatever state the subscriber is in."""


class PushHub:
    """Subscribers by topic, and the lines that lead to them."""

    def __init__(self, transport: Transport, address: Address, origin: str) -> None:
        """`origin` names this process, so that it knows its own announcements."""
        self._transport = transport
        self._address = address
        self._origin = origin
        self._between = Capability.BETWEEN_PROCESSES in transport.capabilities
        self._subscribers: dict[TopicKey, dict[str, Deliver]] = {}
        self._lock = threading.Lock()
        self._here: Queue[list[Push] | None] = Queue(LINE)
        self._abroad: Queue[list[Push] | None] = Queue(LINE)
        self._threads: list[threading.Thread] = []
        self._consumer: Consumer | None = None
        self.arrivals = Arrivals()
        """Who waits here for what is announced, in this process or in another."""

    def start(self) -> None:
        """Begin to deliver.

        Raises:
            BusUnavailable: the broker cannot be reached.
        """
        if self._between:
            self._consumer = self._transport.consume(self._address, self._receive)
        works = [self._deliver_all, self._announce_all] if self._between else [self._deliver_all]
        for work in works:
            thread = threading.Thread(target=work, name=f"push-{work.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, timeout: float) -> None:
        """Deliver no more."""
        if self._consumer is not None:
            self._consumer.cancel()
            self._consumer = None
        for line in (self._here, self._abroad):
            _put(line, None)
        while self._threads:
            self._threads.pop().join(timeout)

    def subscribe(self, key: TopicKey, subscription_id: str, deliver: Deliver) -> None:
        """From now on, each message posted to the topic goes to `deliver`."""
        with self._lock:
            self._subscribers.setdefault(key, {})[subscription_id] = deliver

    def unsubscribe(self, key: TopicKey, subscription_id: str) -> None:
        """No more for this subscription; an unknown one is no error."""
        with self._lock:
            present = self._subscribers.get(key)
            if present is not None:
                present.pop(subscription_id, None)
                if not present:
                    del self._subscribers[key]

    def announce(self, key: TopicKey, messages: Sequence[Message]) -> None:
        """These messages were committed to the topic. Returns at once."""
        self.arrivals.ring(key)
        wanted_here = key in self._subscribers
        if not wanted_here and not self._between:
            return
        pushes = [_push(key, message) for message in messages]
        if wanted_here:
            self._enqueue(self._here, pushes)
        if self._between:
            self._enqueue(self._abroad, pushes)

    def _enqueue(self, line: Queue[list[Push] | None], pushes: list[Push]) -> None:
        if not _put(line, pushes):
            log.warning("%d messages are not pushed: the line is full", len(pushes))

    def _receive(self, delivery: Delivery) -> None:
        try:
            bundle = msgspec.json.decode(delivery.body, type=Bundle)
        except (msgspec.DecodeError, msgspec.ValidationError) as fault:
            log.warning("an announcement on the bus is not readable: %s", fault)
            delivery.reject(str(fault))
            return
        if bundle.origin != self._origin:
            self._enqueue(self._here, bundle.pushes)
            for key in {TopicKey(push.project_id, push.queue_name) for push in bundle.pushes}:
                self.arrivals.ring(key)
        delivery.ack()

    def _deliver_all(self) -> None:
        while (pushes := self._here.get()) is not None:
            for push in pushes:
                key = TopicKey(push.project_id, push.queue_name)
                with self._lock:
                    subscribers = tuple(self._subscribers.get(key, {}).values())
                if subscribers:
                    _deliver(push.frame(), subscribers)

    def _announce_all(self) -> None:
        while (pushes := self._abroad.get()) is not None:
            bundle = Bundle(self._origin, [*pushes, *_rest(self._abroad)])
            try:
                self._transport.publish(self._address, msgspec.json.encode(bundle), timeout=5.0)
            except BusUnavailable as fault:
                log.warning("%d messages are not announced: %s", len(bundle.pushes), fault)
            except Exception:  # a thread's edge: the next announcement may get through
                log.exception("%d messages are not announced", len(bundle.pushes))


def _deliver(frame: bytes, subscribers: Sequence[Deliver]) -> None:
    for deliver in subscribers:
        try:
            deliver(frame)
        except Exception:  # one subscriber's fault must not cost the others theirs
            log.exception("a subscriber could not be served")


def _rest(line: Queue[list[Push] | None]) -> list[Push]:
    """What else waits in line, up to a batch, for one announcement."""
    found: list[Push] = []
    while len(found) < BATCH:
        try:
            more = line.get_nowait()
        except Empty:
            break
        if more is None:
            _put(line, None)
            break
        found += more
    return found


def _put(line: Queue[Any], item: Any) -> bool:
    try:
        line.put_nowait(item)
    except Full:
        return False
    return True
