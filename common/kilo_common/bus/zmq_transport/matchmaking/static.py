"""The matchmaker without a server: a list of nodes, from the URL or a TOML file.

It says who might have to do with a place; the nodes themselves say whether they do. The file:

    [[peer]]
    endpoint = "127.0.0.1:16001"
    topics = ["catalog", "notifications.info"]   # left out: asked about every topic
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kilo_common.bus.url import BusUrlInvalid
from kilo_common.bus.zmq_transport.matchmaking.base import (
    Matchmaker,
    Record,
    Role,
    address_in,
)
from kilo_common.bus.zmq_transport.settings import is_endpoint


@dataclass(frozen=True)
class _Peer:
    endpoint: str
    topics: tuple[str, ...] | None = None

    def may_serve(self, place: str) -> bool:
        """Whether its topics leave the place open; a server's own queue is `topic.server`."""
        if self.topics is None:
            return True
        name = address_in(place).name
        return any(name == topic or name.startswith(f"{topic}.") for topic in self.topics)


class StaticMatchmaker(Matchmaker):
    """Its records never change; registering is for drivers that have a memory."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self._options = options
        self._peers: tuple[_Peer, ...] = ()

    def start(self) -> None:
        listed = [part.strip() for part in self._options.get("peers", "").split(",")]
        peers = [_Peer(_endpoint(part)) for part in listed if part]
        if "peers_file" in self._options:
            peers += _read(Path(self._options["peers_file"]))
        if not peers:
            raise BusUrlInvalid(
                "bus.url: matchmaker=static needs peers=HOST:PORT,HOST:PORT or peers_file=PATH",
                option="peers",
            )
        self._peers = tuple(peers)

    def close(self) -> None:
        pass

    def register(self, record: Record, lease: float) -> None:
        pass

    def renew(self, node: str, lease: float) -> bool:
        del node, lease  # nothing ends here
        return True

    def remove(self, record: Record) -> None:
        pass

    def lookup(self, place: str) -> tuple[Record, ...]:
        return tuple(
            Record(Role.PEER, place, "", "", peer.endpoint)
            for peer in self._peers
            if peer.may_serve(place)
        )


def _read(path: Path) -> list[_Peer]:
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise BusUrlInvalid(f"bus.url: {path} cannot be read: {fault}", path=str(path)) from None
    entries = document.get("peer")
    if not isinstance(entries, list) or set(document) != {"peer"}:
        raise BusUrlInvalid(f"bus.url: {path} holds [[peer]] tables and nothing else")
    return [_entry(path, entry) for entry in entries]


def _entry(path: Path, entry: Any) -> _Peer:
    if not isinstance(entry, dict) or set(entry) - {"endpoint", "topics"}:
        raise BusUrlInvalid(f"bus.url: {path}: a [[peer]] has `endpoint` and `topics`")
    topics = entry.get("topics")
    if topics is not None and not (
        isinstance(topics, list) and all(isinstance(topic, str) for topic in topics)
    ):
        raise BusUrlInvalid(f"bus.url: {path}: `topics` is a list of names")
    return _Peer(_endpoint(entry.get("endpoint")), None if topics is None else tuple(topics))


def _endpoint(text: Any) -> str:
    endpoint = f"tcp://{text}"
    if not is_endpoint(endpoint):
        raise BusUrlInvalid(f"bus.url: {text!r} is not HOST:PORT", option="peers")
    return endpoint
