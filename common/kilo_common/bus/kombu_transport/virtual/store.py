"""What a URL of a virtual transport means: a way to connect, and entities as kombu has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import kombu

from kilo_common.bus.target import Address, Kind
from kilo_common.bus.topology import Topology
from kilo_common.bus.url import BusUrlInvalid

POLL = 0.005
"""Seconds between looks at a store that cannot say when something comes."""
SOCKET_TIMEOUT = 5.0
VISIBILITY = 300
_HERE = "kilo_common.bus.kombu_transport.virtual"
_OPTIONS: Mapping[str, frozenset[str]] = {
    "redis": frozenset({"prefix", "visibility"}),
    "rediss": frozenset({"prefix", "visibility"}),
}
# Names as oslo.messaging has them, and nothing that only a real broker could do.
_TOPOLOGY = Topology(durable=True, extensions=False)


@dataclass(frozen=True)
class Store:
    """Where queues are kept."""

    url: str
    options: Mapping[str, Any]
    native_fanout: bool
    transport: str | None = None
    """The transport of kombu's that is used, if it is not what the URL says."""
    folder: Path | None = None

    def connect(self) -> Any:
        """A connection that nobody else uses; connected when it is first needed."""
        if self.folder is not None:
            (self.folder / "messages").mkdir(parents=True, exist_ok=True)
            (self.folder / "control").mkdir(exist_ok=True)
        connection = kombu.Connection(self.url, transport_options=dict(self.options))
        if self.transport is not None:
            connection.transport_cls = self.transport  # as an argument, the URL would outdo it
        return connection

    def exchange(self, address: Address) -> Any:
        """The exchange that a message for `address` is published to."""
        plan = _TOPOLOGY.exchange(address)
        if address.kind is Kind.FANOUT and not self.native_fanout:
            return kombu.Exchange(plan.name, "topic")
        return kombu.Exchange(plan.name, plan.type) if plan.name else kombu.Exchange("")

    def routing_key(self, address: Address) -> str:
        """The key that a message for `address` is published with."""
        if address.kind is Kind.FANOUT:
            return address.name
        return _TOPOLOGY.routing_key(address)

    def queue(self, address: Address, group: str, unique: str) -> Any:
        """The queue that a consumer of `address` reads."""
        plan = _TOPOLOGY.queue(address, group, unique)
        return kombu.Queue(plan.name, self.exchange(address), routing_key=self.routing_key(address))


def read_url(text: str) -> Store:
    """The store that a bus URL names.

    Raises:
        BusUrlInvalid: with what is wrong.
    """
    parts = urlsplit(text)
    known = _OPTIONS.get(parts.scheme, frozenset())
    given = dict(parse_qsl(parts.query)) if known else {}
    for name in sorted(set(given) - known):
        raise BusUrlInvalid(f"bus.url: there is no option {name!r}", option=name)
    if parts.scheme in ("redis", "rediss"):
        visibility = given.get("visibility", str(VISIBILITY))
        if not visibility.isdigit():
            raise BusUrlInvalid("bus.url: visibility is a number of seconds", option="visibility")
        options = {
            "global_keyprefix": given.get("prefix", ""),
            "visibility_timeout": int(visibility),
            "socket_timeout": SOCKET_TIMEOUT,
            "socket_connect_timeout": SOCKET_TIMEOUT,
            # By itself kombu tries until it works, and a caller would not hear that it does not.
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0,
        }
        return Store(urlunsplit(parts._replace(query="")), options, native_fanout=True)
    if parts.scheme == "filesystem":
        folder = Path(parts.path)
        if not folder.is_absolute():
            raise BusUrlInvalid("bus.url: filesystem:// takes the absolute path of a folder")
        messages, control = str(folder / "messages"), str(folder / "control")
        options = {
            "data_folder_in": messages,
            "data_folder_out": messages,
            "control_folder": control,
            "polling_interval": POLL,
        }
        return Store("filesystem://", options, True, f"{_HERE}.folder:Transport", folder)
    return Store(text.replace("sqlalchemy+", "sqla+", 1), {}, False, f"{_HERE}.database:Transport")
