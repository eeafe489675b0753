"""Where letters wait: a route for each place, with a lane for each group of its consumers."""

import bisect
from collections import deque

from kilo_common.bus.target import Kind
from kilo_common.bus.zmq_transport.letters import Letter, Publication
from kilo_common.bus.zmq_transport.peers import Peer


class Lane:
    """The messages of a place for one group, and the peers that consume them."""

    def __init__(self, group: str) -> None:
        self.group = group
        self.waiting: deque[Letter] = deque()
        self.members: list[Peer] = []
        self._turn = 0

    def choose(self) -> Peer | None:
        """The member with the least unsettled that has room; among equals each in turn."""
        if len(self.members) == 1:
            only = self.members[0]
            return only if len(only.unsettled) < only.window else None
        self._turn += 1
        start = self._turn % len(self.members) if self.members else 0
        turned = (self.members[start:] + self.members[:start]) if start else self.members
        roomy = [peer for peer in turned if len(peer.unsettled) < peer.window]
        return min(roomy, key=lambda peer: len(peer.unsettled)) if roomy else None

    def put_back(self, letter: Letter) -> None:
        """Return a letter to its place in the order of publishing."""
        if not self.waiting or letter.id < self.waiting[0].id:
            self.waiting.appendleft(letter)
        else:
            at = bisect.bisect_left(self.waiting, letter.id, key=lambda other: other.id)
            self.waiting.insert(at, letter)


class Route:
    """All lanes of a place."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.lanes: dict[str, Lane] = {}
        self.groups: set[str] = set()
        """Groups to keep messages for, members or not."""
        self.is_known = False
        """The matchmaker has been asked, and has answered."""
        self.is_asked = False
        self.greeting: set[Peer] = set()
        """Peers that may consume here; publications are held until they have answered."""
        self.held: deque[Publication] = deque()

    def lane(self, group: str) -> Lane:
        """The lane of a group, made if it is new."""
        found = self.lanes.get(group)
        if found is None:
            found = self.lanes[group] = Lane(group)
        return found

    @property
    def has_members(self) -> bool:
        """Whether anybody consumes here."""
        return any(lane.members for lane in self.lanes.values())
