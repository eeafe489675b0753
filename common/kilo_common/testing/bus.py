"""A bus for tests: in memory, in one thread, one message at a time if wanted, open to the eye.

bus = BusForTests(stepped=True)
bus.notifier().info(context, "image.activate", {"id": "i1"})
bus.step()
assert bus.queues()["notifications.info"].waiting == []
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kilo_common.bus.dispatcher import Endpoint
from kilo_common.bus.envelope import Message, Notification, Request, unwrap, wrap
from kilo_common.bus.errors import EnvelopeInvalid
from kilo_common.bus.listener import Handle, NotificationListener
from kilo_common.bus.memory import MemoryMessage, MemoryTransport, QueueView
from kilo_common.bus.notifier import PRIORITIES, Notifier
from kilo_common.bus.rpc_client import RpcClient
from kilo_common.bus.rpc_server import RpcServer
from kilo_common.bus.target import Address, Kind, Target
from kilo_common.bus.transport import DEAD_REASON, Delivery
from kilo_common.clock import Clock
from kilo_common.ids import IdSource, random_id
from kilo_common.testing.clock import FakeClock

MOST_STEPS = 10_000


@dataclass(frozen=True)
class QueueContent:
    """The messages in one queue, decoded."""

    waiting: list[Message]
    in_hand: list[Message]
    consumers: int


@dataclass(frozen=True)
class DeadLetter:
    """A message that was rejected, and why."""

    message: Message
    reason: str


class BusForTests:
    """A memory transport with everything a test does around one.

    Whatever is made here works inline: a message is dealt with when `publish`, or with `stepped`
    the `step` that gives it out, returns. No thread, no wait. A call to a server of a stepped bus
    would wait for ever: use one that is not stepped.
    """

    def __init__(
        self, *, stepped: bool = False, clock: Clock | None = None, new_id: IdSource = random_id
    ) -> None:
        self.clock = clock or FakeClock()
        self.new_id = new_id
        self.transport = MemoryTransport(clock=self.clock, stepped=stepped)
        self.transport.start()
        self._parts: list[Callable[[float], None]] = []

    def stop(self) -> None:
        """Stop everything that was made here."""
        while self._parts:
            self._parts.pop()(5.0)
        self.transport.stop(5.0)

    def __enter__(self) -> "BusForTests":
        return self

    def __exit__(self, *_failure: object) -> None:
        self.stop()

    def client(self, target: Target, **options: Any) -> RpcClient:
        """A client; options as those of `RpcClient`."""
        client = RpcClient(self.transport, target, new_id=self.new_id, **options)
        self._parts.append(client.stop)
        return client

    def serve(self, target: Target, *endpoints: Endpoint, **options: Any) -> RpcServer:
        """A started server of `endpoints`; options as those of `RpcServer`."""
        settings: dict[str, Any] = {"new_id": self.new_id, "executor": "inline"} | options
        server = RpcServer(self.transport, target, endpoints, **settings)
        server.start()
        self._parts.append(server.stop)
        return server

    def notifier(self, publisher_id: str = "test.publisher", **options: Any) -> Notifier:
        """A notifier; options as those of `Notifier`."""
        return Notifier(
            self.transport, publisher_id, clock=self.clock, new_id=self.new_id, **options
        )

    def listen(self, handle: Handle, **options: Any) -> NotificationListener:
        """A started listener; options as those of `NotificationListener`."""
        settings: dict[str, Any] = {"executor": "inline"} | options
        listener = NotificationListener(self.transport, handle, **settings)
        listener.start()
        self._parts.append(listener.stop)
        return listener

    def capture(
        self,
        *,
        topic: str = "notifications",
        exchange: str = "openstack",
        priorities: Sequence[str] = PRIORITIES,
    ) -> list[Notification]:
        """A list that gets every notification of `topic` from now on, in a pool of its own."""
        captured: list[Notification] = []

        def take(delivery: Delivery) -> None:
            captured.append(Notification.from_message(unwrap(delivery.body)))
            delivery.ack()

        pool = f"capture-{self.new_id()}"
        for priority in priorities:
            address = Target(f"{topic}.{priority}", exchange=exchange).topic_address
            self.transport.consume(address, take, group=pool)
        return captured

    def publish(self, address: Address, message: Message | Request | Notification) -> None:
        """Publish a message as a peer would, envelope and all."""
        plain = message if isinstance(message, dict) else message.to_message()
        self.transport.publish(address, wrap(plain))

    def step(self) -> bool:
        """Give out the oldest message that anybody takes; whether there was one."""
        return self.transport.step()

    def run(self) -> int:
        """Give out messages until nobody takes any more; how many there were.

        Raises:
            AssertionError: there is no end to it: something publishes or requeues for ever.
        """
        for steps in range(MOST_STEPS):
            if not self.transport.step():
                return steps
        raise AssertionError(f"the bus is not quiet after {MOST_STEPS} messages")

    def queues(self) -> dict[str, QueueContent]:
        """What is in each queue, by its name; a pool's is `NAME@POOL`."""
        return {
            _name(view): QueueContent(
                [unwrap(each.body) for each in view.waiting],
                [unwrap(each.body) for each in view.in_hand],
                view.consumers,
            )
            for view in self.transport.look()
            if view.address.kind is not Kind.DEAD
        }

    def dead_letters(self) -> list[DeadLetter]:
        """Every message that was rejected, oldest first; what cannot be read is `{}`."""
        dead = [
            each
            for view in self.transport.look()
            if view.address.kind is Kind.DEAD
            for each in view.waiting
        ]
        return [_dead(each) for each in sorted(dead, key=lambda each: each.number)]


def _name(view: QueueView) -> str:
    if view.address.kind is Kind.FANOUT:
        return f"{view.address.name}_fanout{view.group}"
    return f"{view.address.name}@{view.group}" if view.group else view.address.name


def _dead(message: MemoryMessage) -> DeadLetter:
    try:
        content = unwrap(message.body)
    except EnvelopeInvalid:
        content = {}
    return DeadLetter(content, message.headers.get(DEAD_REASON, ""))
