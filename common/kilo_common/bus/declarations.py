"""What a service declares of its traffic on the bus, for documentation: events, methods, messages.

The declarations are values beside the code that they describe; `asyncapi.py` makes a document.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kilo_common.bus.dispatcher import Endpoint
from kilo_common.bus.target import Target


@dataclass(frozen=True)
class EventDeclaration:
    """A notification that a service announces."""

    event_type: str
    payload: Any
    """The type of its payload."""
    summary: str
    priority: str = "info"


@dataclass(frozen=True)
class ServerDeclaration:
    """An RPC server of a service."""

    target: Target
    endpoints: Sequence[Endpoint]


@dataclass(frozen=True)
class MessageDeclaration:
    """A message without an envelope, between processes of the same service."""

    target: Target
    name: str
    content: Any
    """The type of its body."""
    summary: str


@dataclass(frozen=True)
class BusDeclaration:
    """All that one service says and serves on the bus."""

    service: str
    summary: str
    publisher_id: str = ""
    """Who announces its events, such as `image.HOST`."""
    events: Sequence[EventDeclaration] = ()
    servers: Sequence[ServerDeclaration] = ()
    messages: Sequence[MessageDeclaration] = ()
    hears: Sequence[str] = ()
    """The priorities of notifications that it listens to."""
