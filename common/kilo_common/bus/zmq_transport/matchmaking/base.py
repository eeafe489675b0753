"""The interface of a matchmaker, and the table of its drivers.

Records are leases: a node that stops renewing is gone when its lease ends. Every driver passes
`tests/contracts/matchmaker.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from kilo_common.bus.target import Address, Kind
from kilo_common.bus.zmq_transport.settings import ZmqSettings
from kilo_common.registry import Driver, DriverTable

_HERE = "kilo_common.bus.zmq_transport.matchmaking"
MATCHMAKERS = DriverTable(
    "matchmaker",
    {
        "memory": Driver(f"{_HERE}.memory:MemoryMatchmaker"),
        "static": Driver(f"{_HERE}.static:StaticMatchmaker"),
        "sql": Driver(f"{_HERE}.sql.matchmaker:SqlMatchmaker"),
        "redis": Driver(f"{_HERE}.redis:RedisMatchmaker", needs="kilostack[redis]"),
    },
    group="kilostack.bus.matchmaker",
)


class Role(Enum):
    """What a record says about a place."""

    CONSUMER = "consumer"
    """The node consumes there."""
    PUBLISHER = "publisher"
    """The node publishes there, and wants to hear of new consumers."""
    GROUP = "group"
    """Messages for the group are to be kept; the record belongs to no node."""
    PEER = "peer"
    """The node may have to do with the place: ask it."""


@dataclass(frozen=True)
class Record:
    """One line of the matchmaker's book."""

    role: Role
    place: str
    """An address as text: see `place_of`."""
    group: str
    node: str
    """The incarnation; empty where that is not known, or does not matter."""
    endpoint: str


def place_of(address: Address) -> str:
    """An address as one unambiguous text."""
    return f"{address.kind.value}:{len(address.exchange)}:{address.exchange}:{address.name}"


def address_in(place: str) -> Address:
    """The address out of a place; the opposite of `place_of`."""
    kind, length, rest = place.split(":", 2)
    return Address(Kind(kind), rest[: int(length)], rest[int(length) + 1 :])


def is_place(text: str) -> bool:
    """Whether `text` is a place; what other nodes say may be anything."""
    try:
        return place_of(address_in(text)) == text
    except ValueError:
        return False


class Matchmaker(ABC):
    """Six verbs, called from several threads. All raise BusUnavailable when there is no answer."""

    @abstractmethod
    def start(self) -> None:
        """Be ready for use.

        Raises:
            BusUnavailable: what it rests on does not answer.
            ConfigInvalid: its options are wrong.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of connections; twice is harmless."""

    @abstractmethod
    def register(self, record: Record, lease: float) -> None:
        """Enter `record` for `lease` seconds; one that is there already gets the new lease."""

    @abstractmethod
    def renew(self, node: str, lease: float) -> bool:
        """Give every record of `node` that still stands `lease` seconds from now.

        False when none stands: the node has to register anew.
        """

    @abstractmethod
    def remove(self, record: Record) -> None:
        """Strike a record out; one that is not there is no error."""

    @abstractmethod
    def lookup(self, place: str) -> tuple[Record, ...]:
        """All records of a place whose lease has not ended, in no order.

        What `register` entered before this call began, by whichever node, is among them.
        """


def open_matchmaker(settings: ZmqSettings) -> Matchmaker:
    """The matchmaker that the settings name, not yet started.

    Raises:
        ConfigInvalid: there is none of that name, or its options are wrong.
    """
    options: Mapping[str, str] = settings.matchmaker_options or {}
    matchmaker: Matchmaker = MATCHMAKERS.load(settings.matchmaker)(options)
    return matchmaker
