"""The interface of a bus driver: publish, consume, acknowledge. Six verbs in all.

A driver moves bytes; what they mean is `envelope.py`'s business. Every driver passes
`tests/contracts/transport.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from enum import Enum
from typing import ClassVar

import msgspec

from kilo_common.bus.target import Address

DEAD_REASON = "kilo-dead-reason"
"""The header of a dead letter that says why it was rejected."""
REASON_LIMIT = 500


class Capability(Enum):
    """What a driver can promise beyond the contract's core."""

    DURABLE = "durable"
    """What was published survives a restart of the broker."""
    BETWEEN_PROCESSES = "between_processes"
    MANDATORY = "mandatory"
    """Publishing to where nobody listens raises NoRoute when asked to."""
    EXPIRATION = "expiration"
    """A message with a ttl is not delivered after it."""
    ORDERED = "ordered"
    """One consumer of one queue gets messages in the order of their publishing."""


class Delivery(msgspec.Struct, frozen=True):
    """One message in a consumer's hands. Exactly one of the three must be called, once, later."""

    body: bytes
    redelivered: bool
    """Somebody had it before and did not finish."""
    headers: Mapping[str, str]
    """What the publisher said beside the body; empty for most."""
    ack: Callable[[], None]
    """The work is done: forget the message."""
    requeue: Callable[[], None]
    """The work was not done: give it out again, marked as redelivered."""
    reject: Callable[[str], None]
    """The message can never be served, for the reason given: a message of a queue goes to its dead
    letters, with the reason in the header DEAD_REASON; any other is dropped."""


Deliver = Callable[[Delivery], None]
"""Takes a delivery and returns at once; it is called on any thread, a publisher's among them."""


class Consumer(ABC):
    """A running consumption."""

    @abstractmethod
    def cancel(self) -> None:
        """Take no more messages. Those in hand may still be acknowledged; twice is harmless."""


class Transport(ABC):
    """A connection to the bus, shared by everything in a process."""

    capabilities: ClassVar[frozenset[Capability]]

    @abstractmethod
    def start(self) -> None:
        """Connect.

        Raises:
            BusUnavailable: the broker cannot be reached; nothing is left running.
        """

    @abstractmethod
    def stop(self, timeout: float) -> None:
        """Cancel all consumers and disconnect; what was not acknowledged is given out again."""

    @abstractmethod
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
        """Hand `body` to the broker and return once it has it.

        A message for a queue waits there if nobody consumes; unless it is `mandatory`, the queue
        is made when there is none. `ttl` is in seconds.

        Raises:
            NoRoute: `mandatory`, and there is no such queue (drivers with MANDATORY).
            BusUnavailable: not confirmed within `timeout` seconds; it may have been published.
        """

    @abstractmethod
    def consume(
        self, address: Address, deliver: Deliver, *, group: str = "", prefetch: int = 16
    ) -> Consumer:
        """Give each message of `address` to `deliver`, at most `prefetch` unfinished at a time.

        The queue exists from the moment this returns. Consumers of a queue with the same `group`
        share its messages; each different `group` gets every message once (a pool).

        Raises:
            BusUnavailable: the broker cannot be reached.
        """

    @abstractmethod
    def check(self) -> None:
        """Return if the broker answers.

        Raises:
            BusUnavailable: it does not.
        """
