"""Talks to the matchmaker, which may be slow or away: in a thread of its own, or the caller's."""

import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from kilo_common.bus.errors import BusUnavailable
from kilo_common.bus.target import Address, Kind
from kilo_common.bus.zmq_transport.inbox import LocalConsumer
from kilo_common.bus.zmq_transport.letters import LASTING
from kilo_common.bus.zmq_transport.matchmaking.base import (
    Matchmaker,
    Record,
    Role,
    address_in,
    place_of,
)
from kilo_common.bus.zmq_transport.settings import ZmqSettings

log = logging.getLogger(__name__)
Found = Callable[[str, tuple[Record, ...]], None]
RETRY = 0.5
"""Seconds before a matchmaker that did not answer is asked again."""


class Keeper:
    """Keeps this node's records alive and answers who is where."""

    def __init__(
        self,
        matchmaker: Matchmaker,
        settings: ZmqSettings,
        node: str,
        endpoint: str,
        found: Found,
    ) -> None:
        """`found` takes the records of a place, on the keeper's thread."""
        self._matchmaker = matchmaker
        self._settings = settings
        self._node = node
        self._endpoint = endpoint
        self._found = found
        self._wanted: SimpleQueue[str | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._seats: dict[tuple[str, str], int] = {}
        self._published: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="zmq-keeper", daemon=True)

    def start(self) -> None:
        """Begin to renew and to answer."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Strike this node out of the book."""
        self._wanted.put(None)
        self._thread.join(timeout)
        with self._lock:
            records = [self._consumer(*seat) for seat in self._seats]
            records += [self._publisher(place) for place in self._published]
        try:
            for record in records:
                self._matchmaker.remove(record)
        except BusUnavailable as fault:
            log.info("the matchmaker will find out by itself that this node has left: %s", fault)
        self._matchmaker.close()

    def want(self, place: str) -> None:
        """Look a place up soon, and stay informed of it."""
        self._wanted.put(place)

    def enter(self, consumer: LocalConsumer) -> tuple[Record, ...]:
        """Enter a consumer in the book; who else is there.

        Raises:
            BusUnavailable: the matchmaker does not answer.
        """
        place, group = consumer.seat
        self._matchmaker.register(self._consumer(place, group), self._settings.lease)
        if consumer.address.kind in LASTING:
            self._matchmaker.register(_group(place, group), self._settings.retention)
        with self._lock:
            self._seats[place, group] = self._seats.get((place, group), 0) + 1
        return self._matchmaker.lookup(place)

    def strike(self, consumer: LocalConsumer) -> None:
        """Strike a consumer out; its group is remembered."""
        with self._lock:
            left = self._seats.get(consumer.seat, 0) - 1
            if left > 0:
                self._seats[consumer.seat] = left
                return
            self._seats.pop(consumer.seat, None)
        try:
            self._matchmaker.remove(self._consumer(*consumer.seat))
        except BusUnavailable as fault:
            log.info("a consumer that has ended stays in the book until its lease ends: %s", fault)

    def check(self) -> None:
        """Return if the matchmaker answers.

        Raises:
            BusUnavailable: it does not.
        """
        self._matchmaker.lookup(place_of(Address(Kind.REPLY, "", self._node)))

    def _run(self) -> None:
        pause = self._settings.lease / 3
        due = time.monotonic() + pause
        while True:
            try:
                place = self._wanted.get(timeout=max(0.0, due - time.monotonic()))
            except Empty:
                due = time.monotonic() + pause
                self._renew()
                continue
            if place is None:
                return
            if not self._answer(place):
                time.sleep(RETRY)
                self._wanted.put(place)

    def _answer(self, place: str) -> bool:
        try:
            if address_in(place).kind is not Kind.REPLY and place not in self._published:
                # Before the look-up, so that a consumer which is not yet in the book will find us.
                self._matchmaker.register(self._publisher(place), self._settings.lease)
                with self._lock:
                    self._published.add(place)
            records = self._matchmaker.lookup(place)
        except BusUnavailable as fault:
            log.warning("who consumes %s cannot be found out: %s", address_in(place).name, fault)
            return False
        self._found(place, records)
        return True

    def _renew(self) -> None:
        with self._lock:
            seats, places = list(self._seats), list(self._published)
        try:
            if not self._matchmaker.renew(self._node, self._settings.lease):
                for record in (
                    *(self._consumer(*seat) for seat in seats),
                    *(self._publisher(place) for place in places),
                ):
                    self._matchmaker.register(record, self._settings.lease)
            for place, group in seats:
                if address_in(place).kind in LASTING:
                    self._matchmaker.register(_group(place, group), self._settings.retention)
            for place in places:
                self._found(place, self._matchmaker.lookup(place))
        except BusUnavailable as fault:
            log.warning("this node's leases could not be renewed: %s", fault)

    def _consumer(self, place: str, group: str) -> Record:
        return Record(Role.CONSUMER, place, group, self._node, self._endpoint)

    def _publisher(self, place: str) -> Record:
        return Record(Role.PUBLISHER, place, "", self._node, self._endpoint)


def _group(place: str, group: str) -> Record:
    return Record(Role.GROUP, place, group, "", "")
