"""Where a message goes: a target as programs name it, an address as drivers use it."""

from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache

import msgspec


class Kind(Enum):
    """How an address treats several consumers."""

    QUEUE = "queue"
    """They share the messages; a message waits when there is nobody."""
    FANOUT = "fanout"
    """Each that listens gets a copy; nobody listening, nobody gets it."""
    REPLY = "reply"
    """One consumer, found by the queue's own name; gone when the consumer is."""
    DEAD = "dead"
    """What the consumers of a queue rejected, kept until somebody looks."""


class Address(msgspec.Struct, frozen=True):
    """A place on the bus. `name` is the routing key and, for a plain queue, the queue's name."""

    kind: Kind
    exchange: str
    name: str

    def dead_letters(self, group: str = "") -> "Address":
        """Where messages go that a consumer of this queue, or of that pool of it, rejects."""
        return Address(Kind.DEAD, self.exchange, group or self.name)


@dataclass(frozen=True)
class Target:
    """What a program talks to, in oslo.messaging's terms."""

    topic: str
    exchange: str = "openstack"
    server: str | None = None
    fanout: bool = False
    namespace: str | None = None
    version: str = "1.0"

    def with_(self, **changes: object) -> "Target":
        """This target with other fields."""
        return replace(self, **changes)  # type: ignore[arg-type]  # field names are checked at run time

    @property
    def address(self) -> Address:
        """Where a message for this target is published."""
        if self.fanout:
            return self.fanout_address
        return self.server_address if self.server else self.topic_address

    @property
    def topic_address(self) -> Address:
        """The queue that all servers of the topic share."""
        return Address(Kind.QUEUE, self.exchange, self.topic)

    @property
    def server_address(self) -> Address:
        """The queue of one server."""
        return Address(Kind.QUEUE, self.exchange, f"{self.topic}.{self.server}")

    @property
    def fanout_address(self) -> Address:
        """The exchange that copies to every server of the topic."""
        return Address(Kind.FANOUT, self.exchange, self.topic)


def accepts(served: str, asked: str) -> bool:
    """Whether a server of version `served` (M.N) serves a call of version `asked` (M.n, n ≤ N)."""
    served_major, served_minor = _version(served)
    asked_major, asked_minor = _version(asked)
    return served_major == asked_major and asked_minor <= served_minor


@lru_cache(maxsize=256)  # every request brings one; programs have few
def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    try:
        return int(major), int(minor or 0)
    except ValueError:
        return -1, -1
