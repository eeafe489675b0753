"""Other nodes as this one sees them: who lives, what they consume, what is on its way to them."""

from collections import OrderedDict, deque
from collections.abc import Iterator
from enum import Enum
from typing import Protocol

from kilo_common.bus.zmq_transport.frames import (
    BATCH_BYTES,
    Accepted,
    AnyFrame,
    Batch,
    Message,
    Settled,
    encode,
)
from kilo_common.bus.zmq_transport.letters import Letter

GONE_REMEMBERED = 1000
UNBOUNDED = 1 << 30
WINDOW_STEP = 16
"""By how much the window of a peer that was full grows with every tick."""


class Links(Protocol):
    """The sockets, as the engine sees them."""

    def send(self, endpoint: str, data: bytes) -> bool:
        """Send, connecting first if need be; False when the connection can take no more now."""
        ...

    def close_link(self, endpoint: str) -> None:
        """Drop the connection and what is queued on it."""
        ...


class PeerState(Enum):
    """How far we are with a peer."""

    GREETING = "greeting"
    """We said hello and heard nothing yet."""
    ALIVE = "alive"
    GONE = "gone"


class Peer:
    """One incarnation of a node at an endpoint."""

    def __init__(self, endpoint: str, node: str, now: float) -> None:
        self.endpoint = endpoint
        self.node = node
        """Empty until it has said who it is."""
        self.state = PeerState.GREETING
        self.since = now
        self.heard = now
        self.pinged = now
        self.version = -1
        """Of its list of seats, as far as we know it."""
        self.knows = -1
        """The version of our own list that it knows."""
        self.seats: set[tuple[str, str]] = set()
        self.unsettled: dict[int, Letter] = {}
        self.window = UNBOUNDED
        """How many may be unsettled: found out when the peer says that it is full."""
        self.out: list[AnyFrame] = []
        self.accepted: list[int] = []
        self.settled: list[int] = []
        self._backlog: deque[bytes] = deque()

    @property
    def has_output(self) -> bool:
        """Whether anything waits to be sent."""
        return bool(self.out or self.accepted or self.settled or self._backlog)

    def is_full(self) -> None:
        """It has refused a message for want of room: no more at a time than it has now."""
        self.window = len(self.unsettled)

    def widen(self) -> None:
        """Some time has passed: it may have room again."""
        has_room = self.window > WINDOW_STEP and len(self.unsettled) < self.window // 2
        self.window = UNBOUNDED if has_room else self.window + WINDOW_STEP

    def take_frames(self) -> list[AnyFrame]:
        """What is to be said, in order.

        Settled comes last: a consumer that replies and then acknowledges must not have its
        acknowledgement overtake the reply.
        """
        frames, self.out = self.out, []
        if self.accepted:
            done = set(self.settled)
            accepted = [each for each in self.accepted if each not in done]
            if accepted:
                frames.append(Accepted(accepted))
            self.accepted = []
        if self.settled:
            frames.append(Settled(self.settled))
            self.settled = []
        return frames

    def flush(self, sender: str, answer_to: str, links: Links) -> None:
        """Send what is to be said; what the connection does not take stays for the next time."""
        frames = self.take_frames()
        for part in _batches(frames):
            self._backlog.append(encode(Batch(sender, answer_to, self.node, part)))
        while self._backlog and links.send(self.endpoint, self._backlog[0]):
            self._backlog.popleft()


def _batches(frames: list[AnyFrame]) -> Iterator[list[AnyFrame]]:
    part: list[AnyFrame] = []
    size = 0
    for frame in frames:
        part.append(frame)
        if type(frame) is Message:
            size += len(frame.body)
            if size >= BATCH_BYTES:
                yield part
                part, size = [], 0
    if part:
        yield part


class PeerBook:
    """The peers by endpoint and by node, and the nodes that are gone."""

    def __init__(self) -> None:
        self.by_endpoint: dict[str, Peer] = {}
        self.by_node: dict[str, Peer] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()

    def add(self, peer: Peer) -> None:
        self.by_endpoint[peer.endpoint] = peer
        if peer.node:
            self.identify(peer, peer.node)

    def identify(self, peer: Peer, node: str) -> None:
        """The peer has said which node it is."""
        peer.node = node
        self.by_node[node] = peer
        self._gone.pop(node, None)

    def remove(self, peer: Peer) -> None:
        """The peer is gone; its node is remembered as such."""
        peer.state = PeerState.GONE
        if self.by_endpoint.get(peer.endpoint) is peer:
            del self.by_endpoint[peer.endpoint]
        if self.by_node.get(peer.node) is peer:
            del self.by_node[peer.node]
        if peer.node:
            self._gone[peer.node] = None
            while len(self._gone) > GONE_REMEMBERED:
                self._gone.popitem(last=False)

    def is_gone(self, node: str) -> bool:
        """Whether the node was known and has gone."""
        return node in self._gone
