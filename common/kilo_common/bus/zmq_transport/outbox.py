"""The sender's side: which peer gets which message, and what becomes of it. No I/O, one thread.

A letter stays here until the consumer's process says that it is settled. If that process dies,
refuses it or gives it back, the letter goes to another, in the order of publishing.
"""

import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterable

from kilo_common.bus.errors import BusUnavailable, NoRoute
from kilo_common.bus.target import Kind
from kilo_common.bus.zmq_transport.frames import Message
from kilo_common.bus.zmq_transport.lanes import Lane, Route
from kilo_common.bus.zmq_transport.letters import LASTING, Letter, Publication, Receipt
from kilo_common.bus.zmq_transport.matchmaking.base import address_in
from kilo_common.bus.zmq_transport.peers import UNBOUNDED, Peer
from kilo_common.bus.zmq_transport.settings import ZmqSettings

log = logging.getLogger(__name__)


class Outbox:
    """The letters of one node, by place and group."""

    def __init__(self, settings: ZmqSettings, want: Callable[[str], None]) -> None:
        """`want` asks for the matchmaker's records of a place; they arrive at `found`."""
        self.now = 0.0
        self.reachable: set[str] = set()
        """Reply places with a consumer; other threads may look at it."""
        self._limits = settings
        self._want = want
        self._routes: dict[str, Route] = {}
        self._numbers = itertools.count(1)
        self._stalled: deque[Publication] = deque()
        self._count = 0
        self._bytes = 0
        self._is_admitting = False

    # --- publishing -----------------------------------------------------------------------------

    def publish(self, publication: Publication) -> None:
        """Send to whom it concerns; wait while there is no room or no knowledge."""
        if publication.kind in LASTING and (self._stalled or self._is_full(publication)):
            self._stalled.append(publication)
            return
        self._admit(publication)

    def post_internally(self, publication: Publication, group: str | None = None) -> None:
        """Take a message of this node's own making, though there be no room.

        With a `group` it goes to that group alone: it was given up by a consumer of it.
        """
        if group is None:
            self._admit(publication)
            return
        route = self._route(publication.place, publication.kind)
        self._ask(publication.place, route)
        self._add(route.lane(group), publication)

    def drop_oldest(self, kind: Kind) -> None:
        """Make room by forgetting the oldest waiting letter of a kind."""
        waiting = [
            lane
            for route in self._routes.values()
            if route.kind is kind
            for lane in route.lanes.values()
            if lane.waiting
        ]
        if waiting:
            lane = min(waiting, key=lambda each: each.waiting[0].id)
            self._forget(lane.waiting.popleft())

    @property
    def is_full(self) -> bool:
        """Whether the bounds are reached."""
        return self._count >= self._limits.max_messages or self._bytes >= self._limits.max_bytes

    def _is_full(self, publication: Publication) -> bool:
        if self._count >= self._limits.max_messages:
            return True
        return self._count > 0 and self._bytes + len(publication.body) > self._limits.max_bytes

    def _admit(self, publication: Publication) -> None:
        if publication.receipt.is_done:
            return
        route = self._route(publication.place, publication.kind)
        is_known = route.is_known or (route.kind is Kind.REPLY and route.has_members)
        if not is_known or route.greeting:
            route.held.append(publication)
            self._ask(publication.place, route)
            return
        if publication.mandatory and not route.has_members:
            self._nobody(route, publication)
            return
        lanes = self._lanes(route)
        publication.receipt.pending = len(lanes)
        if not lanes:
            publication.receipt.complete()
        for lane in lanes:
            self._add(lane, publication)

    def _nobody(self, route: Route, publication: Publication) -> None:
        if publication.rechecked:
            name = address_in(publication.place).name
            publication.receipt.complete(NoRoute(f"Nobody listens at {name}", address=name))
            return
        publication.rechecked = True
        route.is_known = False
        route.is_asked = False
        route.held.append(publication)
        self._ask(publication.place, route)

    def _lanes(self, route: Route) -> list[Lane]:
        if route.kind not in LASTING:
            return [lane for lane in route.lanes.values() if lane.members]
        lanes = [
            lane for lane in route.lanes.values() if lane.members or lane.group in route.groups
        ]
        return lanes or [route.lane("")]

    def _add(self, lane: Lane, publication: Publication) -> None:
        letter = Letter(next(self._numbers), lane.group, publication)
        self._count += 1
        self._bytes += len(publication.body)
        lane.waiting.append(letter)
        if lane.members:
            self._dispatch(lane)
        else:
            letter.in_good_hands()

    def _dispatch(self, lane: Lane) -> None:
        while lane.waiting:
            letter = lane.waiting[0]
            if self._is_over(letter):
                lane.waiting.popleft()
                letter.in_good_hands()
                self._forget(letter)
                continue
            peer = lane.choose()
            if peer is None:
                return
            lane.waiting.popleft()
            self._send(peer, letter)

    def _send(self, peer: Peer, letter: Letter) -> None:
        publication = letter.publication
        letter.sent_at = self.now
        letter.accepted = False
        peer.unsettled[letter.id] = letter
        expires = publication.expires
        peer.out.append(
            Message(
                letter.id,
                publication.place,
                letter.group,
                publication.body,
                letter.redelivered,
                None if expires is None else expires - self.now,
                dict(publication.headers) if publication.headers else None,
            )
        )
        if publication.kind is Kind.REPLY:
            # What this node says to the caller after it cannot overtake it, and nobody else
            # could take it: there is nothing to wait for.
            letter.in_good_hands()

    def withdraw(self, receipt: Receipt) -> None:
        """The publisher has given up: what nobody has yet shall go to nobody."""
        receipt.complete()

    # --- what consumers' processes say ----------------------------------------------------------

    def accepted(self, peer: Peer, ids: Iterable[int]) -> None:
        """The peer has these in memory."""
        for number in ids:
            letter = peer.unsettled.get(number)
            if letter is not None:
                letter.accepted = True
                letter.in_good_hands()

    def settled(self, peer: Peer, ids: Iterable[int]) -> None:
        """The peer's handlers are done with these."""
        for number in ids:
            letter = peer.unsettled.pop(number, None)
            if letter is not None:
                letter.in_good_hands()
                self._forget(letter)
                if peer.window < UNBOUNDED:
                    self._dispatch(self._lane_of(letter))

    def refused(self, peer: Peer, number: int, busy: bool) -> None:
        """The peer did not take this one: it is full, or consumes no such thing."""
        letter = peer.unsettled.pop(number, None)
        if letter is None:
            return
        if busy:
            peer.is_full()
        else:
            self.left(peer, letter.publication.place, letter.group)
        self._again(letter)

    def returned(self, peer: Peer, number: int, redelivered: bool) -> None:
        """The peer gives this one back unfinished."""
        letter = peer.unsettled.pop(number, None)
        if letter is not None:
            letter.redelivered = letter.redelivered or redelivered
            self._again(letter)

    def lost(self, peer: Peer, ids: Iterable[int]) -> None:
        """The peer knows nothing of these: they were lost on the way, or their settlement was."""
        for number in ids:
            self.returned(peer, number, redelivered=True)

    # --- who consumes ---------------------------------------------------------------------------

    def joined(self, peer: Peer, place: str, group: str) -> None:
        """The peer consumes here from now on."""
        kind = address_in(place).kind
        route = self._routes.get(place)
        if route is None:
            if kind is not Kind.REPLY:
                return  # looked at again when somebody publishes there
            route = self._route(place, kind)
        lane = route.lane(group)
        if peer not in lane.members:
            lane.members.append(peer)
        if kind is Kind.REPLY:
            self.reachable.add(place)
            self._release(route)
        self._dispatch(lane)

    def left(self, peer: Peer, place: str, group: str) -> None:
        """The peer consumes here no more. What it has in hand it will settle or give back."""
        peer.seats.discard((place, group))
        route = self._routes.get(place)
        lane = route.lanes.get(group) if route else None
        if route is None or lane is None:
            return
        if peer in lane.members:
            lane.members.remove(peer)
        if lane.members:
            self._dispatch(lane)
            return
        for letter in list(lane.waiting):
            self._unserved(lane, letter)
        if route.kind not in LASTING:
            del route.lanes[group]
            if not route.lanes and not route.held:
                self.reachable.discard(place)
                self._routes.pop(place)

    def gone(self, peer: Peer) -> None:
        """The peer is dead: what it had goes to others, marked."""
        for place, group in list(peer.seats):
            self.left(peer, place, group)
        letters, peer.unsettled = peer.unsettled, {}
        lanes = set()
        # From the newest on: each goes before those that were put back already.
        for letter in sorted(letters.values(), key=lambda each: each.id, reverse=True):
            letter.redelivered = True
            if self._put_back(letter):
                lanes.add(self._lane_of(letter))
        for lane in lanes:
            self._dispatch(lane)
        self.greeted(peer)

    def found(self, place: str, groups: set[str], greeting: set[Peer], alive: list[Peer]) -> None:
        """The matchmaker has answered. Held publications wait for those being greeted."""
        route = self._route(place, address_in(place).kind)
        route.groups = groups
        for lane in list(route.lanes.values()):
            if lane.group and not lane.members and lane.group not in groups:
                if lane.waiting:
                    log.warning("%s messages for group %s lapse", len(lane.waiting), lane.group)
                for letter in lane.waiting:
                    letter.in_good_hands()
                    self._forget(letter)
                del route.lanes[lane.group]
        if route.kind in LASTING:
            for group in groups:
                route.lane(group)
        self._seat_all(place, alive)
        if not route.is_known:
            route.is_known, route.is_asked = True, False
            route.greeting = greeting
        self._release(route)

    def greeted(self, peer: Peer) -> None:
        """The peer has said what it consumes, or will not."""
        for route in list(self._routes.values()):
            if peer in route.greeting:
                route.greeting.discard(peer)
                self._release(route)

    def _seat_all(self, place: str, peers: list[Peer]) -> None:
        for peer in peers:
            for seat in list(peer.seats):
                if seat[0] == place:
                    self.joined(peer, *seat)

    def _release(self, route: Route) -> None:
        if route.held and not route.greeting:
            held, route.held = route.held, deque()
            for publication in held:
                self._admit(publication)

    # --- time -----------------------------------------------------------------------------------

    def resume(self, peers: Iterable[Peer]) -> None:
        """Try again those that were full."""
        were_full = [peer for peer in peers if peer.window < UNBOUNDED]
        for peer in were_full:
            peer.widen()
            for place, group in list(peer.seats):
                route = self._routes.get(place)
                if route is not None and group in route.lanes:
                    self._dispatch(route.lanes[group])

    def sweep(self) -> None:
        """Forget what has expired or was withdrawn."""
        for route in self._routes.values():
            route.held = _without_done(route.held)
            for lane in route.lanes.values():
                over = {each for each in lane.waiting if self._is_over(each)}
                if over:
                    lane.waiting = deque(each for each in lane.waiting if each not in over)
                for letter in over:
                    letter.in_good_hands()
                    self._forget(letter)
        self._stalled = _without_done(self._stalled)

    @property
    def waiting(self) -> int:
        """How many letters are with nobody."""
        lanes = (lane for route in self._routes.values() for lane in route.lanes.values())
        return sum(len(lane.waiting) for lane in lanes)

    @property
    def held(self) -> int:
        """How many letters are kept because they are not settled."""
        return self._count

    @property
    def has_work(self) -> bool:
        """Whether some letter could still be brought to a consumer."""
        lanes = (lane for route in self._routes.values() for lane in route.lanes.values())
        return bool(self._stalled) or any(lane.members and lane.waiting for lane in lanes)

    # --- parts ----------------------------------------------------------------------------------

    def _route(self, place: str, kind: Kind) -> Route:
        route = self._routes.get(place)
        if route is None:
            route = self._routes[place] = Route(kind)
        return route

    def _ask(self, place: str, route: Route) -> None:
        if not route.is_known and not route.is_asked:
            route.is_asked = True
            self._want(place)

    def _lane_of(self, letter: Letter) -> Lane:
        route = self._route(letter.publication.place, letter.publication.kind)
        return route.lane(letter.group)

    def _again(self, letter: Letter) -> None:
        if self._put_back(letter):
            self._dispatch(self._lane_of(letter))

    def _put_back(self, letter: Letter) -> bool:
        """Return a letter to its lane; whether it can be sent on from there."""
        publication = letter.publication
        route = self._route(publication.place, publication.kind)
        lane = route.lanes.get(letter.group)
        if publication.kind not in LASTING and (lane is None or not lane.members):
            letter.in_good_hands()
            self._forget(letter)
            return False
        lane = lane or route.lane(letter.group)
        lane.put_back(letter)
        if not lane.members:
            self._unserved(lane, letter)
        return bool(lane.members)

    def _unserved(self, lane: Lane, letter: Letter) -> None:
        """Nobody is left for a letter that had, or was about to have, a consumer."""
        publication = letter.publication
        if publication.kind not in LASTING:
            lane.waiting.remove(letter)
            letter.in_good_hands()
            self._forget(letter)
        elif publication.mandatory and letter.waited_for:
            name = address_in(publication.place).name
            error = BusUnavailable(
                f"The consumer of {name} went away before it said that it has the message; "
                "it may have had it",
                address=name,
            )
            nobody = NoRoute(f"Nobody listens at {name}", address=name)
            publication.receipt.complete(error if letter.redelivered else nobody)
        else:
            letter.in_good_hands()

    def _is_over(self, letter: Letter) -> bool:
        return letter.is_withdrawn or letter.is_expired(self.now)

    def _forget(self, letter: Letter) -> None:
        self._count -= 1
        self._bytes -= len(letter.publication.body)
        if self._is_admitting:
            return  # further up the stack
        self._is_admitting = True
        while self._stalled and not self._is_full(self._stalled[0]):
            self._admit(self._stalled.popleft())
        self._is_admitting = False


def _without_done(publications: deque[Publication]) -> deque[Publication]:
    """Those that somebody still waits for."""
    if not any(each.receipt.is_done for each in publications):
        return publications
    return deque(each for each in publications if not each.receipt.is_done)
