"""Where letters wait: a route for each place, with a lane for each group of its consumers."""

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
        self.paused: set[Peer] = set()
        """Members that said they are full."""
        self._turn = 0

    def choose(self) -> Peer | None:
        """The member with the least unsettled; among equals each in turn."""
        if len(self.members) == 1 and not self.paused:
            return self.members[0]
        self._turn += 1
        open_members = [peer for peer in self.members if peer not in self.paused]
        if not open_members:
            return None
        start = self._turn % len(open_members)
        turned = open_members[start:] + open_members[:start]
        return min(turned, key=lambda peer: len(peer.unsettled))

    def put_back(self, letter: Letter) -> None:
        """Return a letter to its place in the order of publishing."""
        place = 0
        for other in self.waiting:
            if other.id > letter.id:
                break
            place += 1
        self.waiting.insert(place, letter)

    def leave(self, peer: Peer) -> None:
        """The peer consumes here no more."""
        if peer in self.members:
            self.members.remove(peer)
        self.paused.discard(peer)


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
