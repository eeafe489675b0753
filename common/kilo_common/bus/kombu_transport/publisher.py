"""Publishing: any number of threads on one connection, none waiting for another's confirmation."""

import itertools
import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from kilo_common.bus.errors import BusUnavailable, NoRoute
from kilo_common.bus.kombu_transport import frames
from kilo_common.bus.kombu_transport.declare import declare_exchange, declare_queue
from kilo_common.bus.kombu_transport.keeper import Keeper
from kilo_common.bus.kombu_transport.lane import CommitLane, ConfirmLane, Lane
from kilo_common.bus.kombu_transport.link import BROKER_ERRORS, Link
from kilo_common.bus.kombu_transport.profile import Profile
from kilo_common.bus.kombu_transport.waiting import Fate, LinkLost, Publish, TooLate, left
from kilo_common.bus.target import Address, Kind
from kilo_common.bus.topology import ExchangePlan, Topology
from kilo_common.bus.url import BusUrl

log = logging.getLogger(__name__)
PAUSE = 0.05
"""Seconds before a message goes again that the broker refused."""
RETURN = 3.0
"""Seconds in which whoever lost a broker has found it again; about twice the longest backoff."""
CHECK_TIMEOUT = 5.0
SHORT_STRING = 255
"""Bytes that the name of a queue or exchange may have."""


@dataclass(frozen=True)
class Parcel:
    """What is to be published, and where to."""

    address: Address
    body: bytes
    ttl: float | None
    mandatory: bool
    headers: Mapping[str, str]


class Publisher:
    """The publishing connection."""

    def __init__(self, url: BusUrl, topology: Topology, profile: Profile) -> None:
        self._topology = topology
        self._lane_type: type[Lane] = ConfirmLane if profile.extensions else CommitLane
        self._keeper = Keeper(url, profile, name="bus-publisher")
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._lanes: dict[ExchangePlan, Future[Lane]] = {}
        self._ids = itertools.count(1)

    def open(self) -> None:
        """Connect, also after `close`. Raises as `Transport.start`."""
        self._keeper.reopen()
        self.check()

    def check(self) -> None:
        """Raises as `Transport.check`."""
        deadline = time.monotonic() + CHECK_TIMEOUT
        link = self._keeper.get(deadline, patient=False)
        if link.blocked:
            raise BusUnavailable(
                "The broker is short of memory or disk and takes no messages",
                may_have_been_published=False,
            )
        try:
            link.channel(deadline).abandon()
        except BROKER_ERRORS as fault:
            raise BusUnavailable(
                f"The broker does not answer: {fault}", may_have_been_published=False
            ) from fault

    def close(self, timeout: float) -> None:
        """Disconnect."""
        self._keeper.close(timeout)

    def publish(self, parcel: Parcel, timeout: float) -> None:
        """Publish and return after the broker confirmed. Raises as `Transport.publish`."""
        address = parcel.address
        _refuse_impossible(address)
        deadline = time.monotonic() + timeout
        # A queue is only made for a message that would otherwise go nowhere: a notification that
        # some pool gets leaves nothing behind in a queue that nobody reads.
        lasting = address.kind in (Kind.QUEUE, Kind.DEAD)
        attempt = _Attempt(parcel, parcel.mandatory or lasting, deadline)
        while not self._try(attempt):
            if parcel.mandatory:
                self._allow_for_return(address)
                continue
            # And again, as long as it takes: RabbitMQ 4 answers that a queue is bound before all
            # its channels know, and would confirm what goes nowhere.
            self._make_queue(attempt)

    def _allow_for_return(self, address: Address) -> None:
        """Nobody listens. When the broker has just come back, wait a moment for a caller that has
        not come back yet: its reply queue went with the broker.

        Raises:
            NoRoute: there is nothing to wait for.
        """
        link = self._link
        if address.kind is Kind.REPLY and link is not None and link.fresh(RETURN):
            time.sleep(PAUSE)
            return
        raise NoRoute(f"Nobody listens at {address.name}", address=address.name)

    def _try(self, attempt: "_Attempt") -> bool:
        """Publish until the broker has it; whether it went to any queue.

        Raises:
            BusUnavailable: the deadline has passed.
        """
        while True:
            try:
                link = self._keeper.get(attempt.deadline, patient=True)
                fate = self._send(link, attempt)
            except (*BROKER_ERRORS, BusUnavailable) as fault:
                if self._keeper.closed or not left(attempt.deadline):
                    raise attempt.gave_up(fault) from fault
                log.debug("publishing to %s goes again: %s", attempt.parcel.address.name, fault)
                if not isinstance(fault, LinkLost):
                    time.sleep(min(PAUSE, left(attempt.deadline)))
                continue
            if fate is Fate.CONFIRMED or fate is Fate.RETURNED:
                return fate is Fate.CONFIRMED

    def _send(self, link: Link, attempt: "_Attempt") -> Fate:
        parcel = attempt.parcel
        exchange = self._topology.exchange(parcel.address)
        lane = self._lane(link, exchange, attempt.deadline)
        message_id = str(next(self._ids))
        data = frames.publish(
            lane.number,
            exchange.name,
            self._topology.routing_key(parcel.address),
            parcel.body,
            mandatory=attempt.must_route,
            ttl=parcel.ttl,
            headers=parcel.headers,
            persistent=parcel.address.kind not in (Kind.REPLY, Kind.FANOUT),
            message_id=message_id,
            frame_max=link.frame_max,
        )
        publish = Publish(data, message_id, attempt.must_route)
        link.outbox.publish(lane, publish)
        in_time = publish.wait(left(attempt.deadline))
        if not in_time and not link.outbox.withdraw(publish):
            attempt.uncertain = True
        if not in_time:
            raise TooLate("the broker blocks publishers" if link.blocked else "no confirmation")
        if publish.fate is Fate.LOST:
            attempt.uncertain |= publish.written
            raise LinkLost("the connection to the broker was lost")
        if publish.fate is Fate.REFUSED:
            raise TooLate("the broker refused the message")
        return publish.fate

    def _lane(self, link: Link, exchange: ExchangePlan, deadline: float) -> Lane:
        """The lane to an exchange; one of those who ask at the same time opens it for all."""
        with self._lock:
            if self._link is not link:
                self._link, self._lanes = link, {}
            lanes = self._lanes
            found = lanes.get(exchange)
            if found is not None and found.done() and not found.result().open:
                found = None
            if found is None:
                mine = lanes[exchange] = Future()
        if found is not None:
            return found.result(left(deadline))
        try:
            declare_exchange(link, exchange, deadline)
            lane = self._lane_type(link, deadline)
        except BaseException as fault:
            with self._lock:
                del lanes[exchange]
            mine.set_exception(fault)
            raise
        mine.set_result(lane)
        return lane

    def _make_queue(self, attempt: "_Attempt") -> None:
        """Declare the queue a message waits in, unless the link is lost in the meantime.

        Raises:
            BusUnavailable: the deadline has passed.
        """
        deadline = attempt.deadline
        try:
            link = self._keeper.get(deadline, patient=True)
            address = attempt.parcel.address
            plan = self._topology.queue(address, "", "", link.durable_only)
            declare_queue(link, plan, deadline)
        except (*BROKER_ERRORS, BusUnavailable) as fault:
            if self._keeper.closed or not left(deadline):
                raise attempt.gave_up(fault) from fault


class _Attempt:
    """A parcel on its way, over any number of connections."""

    def __init__(self, parcel: Parcel, must_route: bool, deadline: float) -> None:
        self.parcel = parcel
        self.must_route = must_route
        self.deadline = deadline
        self.uncertain = False
        """It was written at least once, and not confirmed."""

    def gave_up(self, fault: Any) -> BusUnavailable:
        known = "it may have been published" if self.uncertain else "it was not published"
        return BusUnavailable(
            f"The broker did not confirm a message in time: {fault}; {known}",
            address=self.parcel.address.name,
            may_have_been_published=self.uncertain,
        )


def _refuse_impossible(address: Address) -> None:
    """A name that no queue can have, such as a hostile caller may give for its reply queue."""
    try:
        size = len(address.name.encode())
    except UnicodeEncodeError:
        size = SHORT_STRING + 1
    if size > SHORT_STRING:
        raise NoRoute(f"No queue can be named {address.name[:40]!r}…", address=address.name[:40])
