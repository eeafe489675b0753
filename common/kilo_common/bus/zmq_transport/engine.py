"""A node's mind: what it does when a frame, a command or the passing of time comes to it.

No I/O and no waiting; everything here runs in one thread. Peers are introduced by the matchmaker,
or introduce themselves; what they consume they say themselves (Hello, Join, Leave). A peer that is
silent for too long, or whose endpoint another incarnation answers from, is dead.
"""

import logging
from collections.abc import Callable
from typing import Any

from kilo_common.bus.errors import EnvelopeInvalid
from kilo_common.bus.target import Address, Kind
from kilo_common.bus.transport import DEAD_REASON, REASON_LIMIT
from kilo_common.bus.zmq_transport.frames import (
    Accepted,
    AnyFrame,
    Bye,
    Hello,
    Join,
    Known,
    Leave,
    Message,
    Ping,
    Pong,
    Refused,
    Returned,
    Settled,
    decode,
)
from kilo_common.bus.zmq_transport.inbox import Inbox, Item, LocalConsumer, Post
from kilo_common.bus.zmq_transport.letters import Publication, Receipt
from kilo_common.bus.zmq_transport.matchmaking.base import Record, Role, is_place, place_of
from kilo_common.bus.zmq_transport.outbox import Outbox
from kilo_common.bus.zmq_transport.peers import Links, Peer, PeerBook, PeerState
from kilo_common.bus.zmq_transport.settings import ZmqSettings

log = logging.getLogger(__name__)
ASKED_AT_ONCE = 1000
"""How many unsettled messages one ping asks about."""


class Engine:
    """One node."""

    def __init__(
        self,
        settings: ZmqSettings,
        node: str,
        endpoint: str,
        links: Links,
        *,
        post: Post,
        want: Callable[[str], None],
        now: float,
    ) -> None:
        """`post` runs a function in this engine's thread; `want` asks the matchmaker."""
        self._settings = settings
        self._node = node
        self._endpoint = endpoint
        self._links = links
        self._now = now
        self._ticked = now
        self._swept = now
        self._version = 0
        self._book = PeerBook()
        self._announced: list[tuple[int, set[Peer], Receipt]] = []
        self._leaving: Receipt | None = None
        self.outbox = Outbox(settings, want)
        self.inbox = Inbox(settings, self._book.by_node, post, adopt=self._adopt, bury=self._bury)
        self._self = Peer(endpoint, node, now)
        self._self.state = PeerState.ALIVE
        self._book.add(self._self)
        self._handlers: dict[type, Callable[[Peer, Any], None]] = {
            Hello: self._hello,
            Join: self._join,
            Leave: self._leave,
            Known: self._known,
            Message: lambda peer, frame: self.inbox.take(peer, frame),
            Accepted: lambda peer, frame: self.outbox.accepted(peer, frame.ids),
            Settled: lambda peer, frame: self.outbox.settled(peer, frame.ids),
            Refused: lambda peer, frame: self.outbox.refused(peer, frame.id, frame.busy),
            Returned: lambda peer, frame: self.outbox.returned(peer, frame.id, frame.redelivered),
            Ping: self._ping,
            Pong: lambda peer, frame: self.outbox.lost(peer, frame.lost),
            Bye: lambda peer, _frame: self._lose(peer, "said goodbye"),
        }

    @property
    def peers(self) -> list[str]:
        """The endpoints of the other nodes that this one has to do with."""
        return [each for each in self._book.by_endpoint if each != self._endpoint]

    # --- commands -------------------------------------------------------------------------------

    def consume(self, consumer: LocalConsumer) -> None:
        """Begin to consume, and tell those who are known."""
        if self.inbox.add(consumer):
            self._version += 1
            self._self.seats.add(consumer.seat)
            for peer in self._alive():
                peer.out.append(Join(self._version, *consumer.seat))
            self.outbox.joined(self._self, *consumer.seat)

    def cancel(self, consumer: LocalConsumer) -> None:
        """End a consumption; what nobody here will take goes back to its senders."""
        unwanted = self.inbox.remove(consumer)
        if unwanted is None:
            return
        self._version += 1
        for peer in self._alive():
            peer.out.append(Leave(self._version, *consumer.seat))
        self.outbox.left(self._self, *consumer.seat)
        for item in unwanted:
            self.inbox.give_back(item)

    def announce(self, records: tuple[Record, ...], receipt: Receipt) -> None:
        """Complete `receipt` when all who publish where we now consume know that we do."""
        waiting = {
            peer
            for record in records
            if record.role in (Role.PUBLISHER, Role.PEER)
            # One that has gone needs not know; if it was only silent, it says hello again.
            and not self._book.is_gone(record.node)
            for peer in [self._contact(record, greet_again=True)]
            if peer is not None and peer.knows < self._version
        }
        self._announced.append((self._version, waiting, receipt))
        self._check_announced()

    def found(self, place: str, records: tuple[Record, ...]) -> None:
        """The matchmaker's records of a place that is published to."""
        greeting = set()
        for record in records:
            if record.role in (Role.CONSUMER, Role.PEER):
                was_gone = self._book.is_gone(record.node)
                peer = self._contact(record)
                if peer is not None and peer.state is PeerState.GREETING and not was_gone:
                    greeting.add(peer)
        groups = {record.group for record in records if record.role is Role.GROUP}
        alive = [self._self, *self._alive()]
        self.outbox.found(place, groups, greeting, alive)

    def leave(self, receipt: Receipt) -> None:
        """Give everything back; complete `receipt` when nothing can be brought on any more."""
        self._leaving = receipt
        for place, group in self.inbox.seats:
            self._version += 1
            for peer in self._alive():
                peer.out.append(Leave(self._version, place, group))
            self.outbox.left(self._self, place, group)
        self.inbox.close()
        self.inbox.give_back_all()

    def farewell(self) -> None:
        """Say goodbye to everybody."""
        if self.outbox.waiting:
            log.warning(
                "%s messages that nobody has taken are lost with this node", self.outbox.waiting
            )
        for peer in self._alive():
            peer.out.append(Bye())

    # --- frames ---------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """A batch from another node."""
        try:
            batch = decode(data)
        except EnvelopeInvalid as fault:
            log.warning("dropped: %s", fault)
            return
        endpoint = batch.endpoint
        if not self._may_answer(endpoint):
            log.warning("a node calls itself %.100r; it is not answered", endpoint)
            return
        former = self._predecessor(endpoint, batch.sender)
        if former is not None and self._book.is_gone(batch.sender):
            return  # the last words of a process that the one we know came after
        if former is not None:
            self._unlink(former, f"is now {batch.sender}")
        peer = self._sender(endpoint, batch.sender)
        peer.heard = self._now
        if batch.receiver and batch.receiver != self._node:
            self._greet(peer)  # meant for a process that was here before
        else:
            for frame in batch.frames:
                self._handlers[type(frame)](peer, frame)
        if former is not None:
            # Not earlier: what the former had may go to its successor, which has just said hello.
            self._bequeath(former)

    def _may_answer(self, endpoint: str) -> bool:
        if endpoint == self._endpoint:
            return False
        return endpoint in self._book.by_endpoint or self._settings.may_talk_to(endpoint)

    def _predecessor(self, endpoint: str, node: str) -> Peer | None:
        """The peer at the endpoint, if it is another incarnation than `node`."""
        peer = self._book.by_endpoint.get(endpoint)
        return peer if peer is not None and peer.node not in ("", node) else None

    def _sender(self, endpoint: str, node: str) -> Peer:
        peer = self._book.by_endpoint.get(endpoint)
        if peer is None:
            peer = Peer(endpoint, node, self._now)
            self._book.add(peer)
            self._greet(peer)
        elif not peer.node:
            self._book.identify(peer, node)
        return peer

    def _hello(self, peer: Peer, frame: Hello) -> None:
        self._alive_now(peer)
        peer.version = frame.version
        seats = {(place, group) for place, group in frame.seats if is_place(place)}
        for place, group in peer.seats - seats:
            self.outbox.left(peer, place, group)
        peer.seats = seats
        for place, group in seats:
            self.outbox.joined(peer, place, group)
        peer.out.append(Known(frame.version))
        if frame.answer:
            peer.out.append(Hello(self._version, self.inbox.seats, False))
        self.outbox.greeted(peer)

    def _join(self, peer: Peer, frame: Join) -> None:
        if is_place(frame.place):
            peer.version = frame.version
            peer.seats.add((frame.place, frame.group))
            self.outbox.joined(peer, frame.place, frame.group)
        peer.out.append(Known(frame.version))

    def _leave(self, peer: Peer, frame: Leave) -> None:
        peer.version = frame.version
        self.outbox.left(peer, frame.place, frame.group)

    def _known(self, peer: Peer, frame: Known) -> None:
        self._alive_now(peer)
        peer.knows = max(peer.knows, frame.version)
        self._check_announced()

    def _ping(self, peer: Peer, frame: Ping) -> None:
        if peer.version != frame.version:
            self._greet(peer)
        lost = self.inbox.unknown(peer, frame.unsettled)
        if lost:
            peer.out.append(Pong(lost))

    # --- peers ----------------------------------------------------------------------------------

    def _alive(self) -> list[Peer]:
        return [
            peer
            for peer in self._book.by_endpoint.values()
            if peer.state is PeerState.ALIVE and peer is not self._self
        ]

    def _contact(self, record: Record, *, greet_again: bool = False) -> Peer | None:
        """The peer of a record, greeted if it is new; None for this node itself."""
        if record.endpoint == self._endpoint or not self._settings.may_talk_to(record.endpoint):
            return None
        peer = self._book.by_endpoint.get(record.endpoint)
        if peer is not None and record.node and peer.node and peer.node != record.node:
            return peer  # one of the two is dead, and the other will speak
        if peer is None:
            # The node stays unnamed until it answers: whoever is at that endpoint may do so.
            peer = Peer(record.endpoint, "", self._now)
            self._book.add(peer)
            self._greet(peer)
        elif greet_again and peer.state is PeerState.GREETING:
            self._greet(peer)
        return peer

    def _greet(self, peer: Peer) -> None:
        peer.out.append(Hello(self._version, self.inbox.seats, True))

    def _alive_now(self, peer: Peer) -> None:
        if peer.state is PeerState.GREETING:
            peer.state = PeerState.ALIVE
            # What changed here since the greeting was sent.
            peer.out.append(Hello(self._version, self.inbox.seats, False))

    def _lose(self, peer: Peer, why: str) -> None:
        if peer.state is not PeerState.GONE:
            self._unlink(peer, why)
            self._bequeath(peer)

    def _unlink(self, peer: Peer, why: str) -> None:
        log.info("the node at %s %s", peer.endpoint, why)
        self._book.remove(peer)
        self._links.close_link(peer.endpoint)

    def _bequeath(self, peer: Peer) -> None:
        self.outbox.gone(peer)
        self._check_announced()

    def _check_announced(self) -> None:
        if not self._announced:
            return
        open_ones = []
        for version, waiting, receipt in self._announced:
            waiting = {
                peer
                for peer in waiting
                if peer.state is not PeerState.GONE and peer.knows < version
            }
            if waiting and not receipt.is_done:
                open_ones.append((version, waiting, receipt))
            else:
                receipt.complete()
        self._announced = open_ones

    # --- time -----------------------------------------------------------------------------------

    def at(self, now: float) -> None:
        """It is `now` from here on."""
        self._now = self.outbox.now = self.inbox.now = now

    def tick(self) -> None:
        """Look after what only time tells. Called several times per heartbeat."""
        if self._now - self._ticked > self._settings.heartbeat * 1.5:
            # This process itself was held up: its peers' frames may still be unread.
            for peer in self._book.by_endpoint.values():
                peer.heard = peer.since = self._now
        self._ticked = self._now
        for peer in list(self._book.by_endpoint.values()):
            if peer is not self._self:
                self._look_after(peer)
        self.outbox.resume(self._book.by_endpoint.values())
        self.inbox.resume()
        if self._now - self._swept >= 1.0:
            self._swept = self._now
            self.outbox.sweep()
        if self._leaving is not None and self._is_idle():
            self._leaving.complete()

    def _look_after(self, peer: Peer) -> None:
        if peer.state is PeerState.GREETING:
            if self._now - peer.since >= self._settings.greeting:
                self._lose(peer, "does not answer")
        elif self._now - peer.heard >= self._settings.dead_after:
            self._lose(peer, f"has been silent for {self._now - peer.heard:.1f} s")
        elif self._now - peer.pinged >= self._settings.heartbeat:
            peer.pinged = self._now
            before = self._now - self._settings.heartbeat
            old = [each.id for each in peer.unsettled.values() if each.sent_at <= before]
            peer.out.append(Ping(self._version, old[:ASKED_AT_ONCE]))

    def _is_idle(self) -> bool:
        unsure = any(
            letter.waited_for or not letter.accepted
            for peer in self._alive()
            for letter in peer.unsettled.values()
        )
        return not unsure and not self.outbox.has_work

    def flush(self) -> None:
        """Send what has gathered; what this node says to itself is heard at once."""
        while self._self.has_output:
            frames: list[AnyFrame] = self._self.take_frames()
            for frame in frames:
                self._handlers[type(frame)](self._self, frame)
        for peer in list(self._book.by_endpoint.values()):
            if peer.has_output and peer is not self._self:
                peer.flush(self._node, self._endpoint, self._links)

    # --- what the inbox hands over --------------------------------------------------------------

    def _adopt(self, item: Item, address: Address) -> None:
        publication = self._own(item, address, item.headers)
        publication.redelivered = item.redelivered
        self.outbox.post_internally(publication, item.seat[1])

    def _bury(self, item: Item, address: Address, reason: str) -> None:
        headers = {**item.headers, DEAD_REASON: reason[:REASON_LIMIT]}
        item.expires = None
        if self.outbox.is_full:
            log.warning("there is no room for more dead letters; the oldest is dropped")
            self.outbox.drop_oldest(Kind.DEAD)
        self.outbox.post_internally(self._own(item, address.dead_letters(item.seat[1]), headers))

    def _own(self, item: Item, address: Address, headers: Any) -> Publication:
        return Publication(
            address.kind,
            place_of(address),
            item.body,
            headers,
            item.expires,
            mandatory=False,
            receipt=Receipt(),
        )
