"""The `zmq://` transport: the six verbs over a node of its own."""

import itertools
import secrets
import threading
from collections.abc import Mapping

from kilo_common.bus.errors import BusUnavailable
from kilo_common.bus.target import Address, Kind
from kilo_common.bus.transport import Capability, Consumer, Deliver, Transport
from kilo_common.bus.zmq_transport.engine import Engine
from kilo_common.bus.zmq_transport.errors import MessageTooLarge
from kilo_common.bus.zmq_transport.inbox import LocalConsumer
from kilo_common.bus.zmq_transport.keeper import Keeper
from kilo_common.bus.zmq_transport.letters import LASTING, Publication, Receipt
from kilo_common.bus.zmq_transport.loop import IoLoop
from kilo_common.bus.zmq_transport.matchmaking.base import Matchmaker, open_matchmaker, place_of
from kilo_common.bus.zmq_transport.settings import from_url
from kilo_common.clock import Clock, SystemClock

JOIN_PATIENCE = 2.0
"""Seconds that those who publish have to take note of a new consumer."""
COMMAND_PATIENCE = 5.0
BODY_LIMIT = 128 << 20
"""Bytes of one message's body."""


class _Node:
    """What runs between start and stop."""

    def __init__(self, url: str, clock: Clock, matchmaker: Matchmaker | None) -> None:
        settings = from_url(url)
        self.name = secrets.token_hex(8)
        self.matchmaker = matchmaker or open_matchmaker(settings)
        self.matchmaker.start()
        self.loop = IoLoop(settings, clock)
        try:
            self.loop.open()
        except BusUnavailable:
            self.matchmaker.close()
            raise
        endpoint = self.loop.endpoint
        self.engine = Engine(
            settings,
            self.name,
            endpoint,
            self.loop,
            post=self.loop.post,
            want=lambda place: self.keeper.want(place),
            now=clock.monotonic(),
        )
        self.keeper = Keeper(
            self.matchmaker,
            settings,
            self.name,
            endpoint,
            lambda place, records: self.loop.post(self.engine.found, place, records),
        )
        self.loop.start(self.engine)
        self.keeper.start()

    def stop(self, timeout: float) -> None:
        """Leave in good order, within about `timeout` seconds."""
        self.keeper.stop(min(timeout, COMMAND_PATIENCE))
        done = Receipt()
        self.loop.post(self.engine.leave, done)
        done.wait(timeout)
        self.loop.post(self.engine.farewell)
        self.loop.close(COMMAND_PATIENCE)


class _ZmqConsumer(Consumer):
    """A consumption of this node."""

    def __init__(self, node: _Node, local: LocalConsumer) -> None:
        self._node = node
        self._local = local
        self._cancelled = False

    def cancel(self) -> None:
        if self._cancelled:
            return
        self._cancelled = True
        loop = self._node.loop
        loop.post(self._node.engine.cancel, self._local)
        if not loop.is_own_thread:
            done = Receipt()
            loop.post(done.complete)
            done.wait(COMMAND_PATIENCE)
            self._node.keeper.strike(self._local)


class ZmqTransport(Transport):
    """Processes that talk to each other without a broker; see `common/README.md` for promises."""

    capabilities = frozenset(
        {
            Capability.BETWEEN_PROCESSES,
            Capability.MANDATORY,
            Capability.EXPIRATION,
            Capability.ORDERED,
        }
    )

    def __init__(
        self,
        url: str = "zmq://",
        *,
        clock: Clock | None = None,
        matchmaker: Matchmaker | None = None,
    ) -> None:
        """`matchmaker` is used instead of the one the URL names.

        Raises:
            BusUrlInvalid: with what is wrong.
        """
        self._settings = from_url(url)
        self._url = url
        self._clock = clock or SystemClock()
        self._matchmaker = matchmaker
        self._node: _Node | None = None
        self._listeners = itertools.count()
        self._lock = threading.Lock()

    def start(self) -> None:
        with self._lock:
            if self._node is None:
                self._node = _Node(self._url, self._clock, self._matchmaker)

    def stop(self, timeout: float) -> None:
        with self._lock:
            node, self._node = self._node, None
        if node is not None:
            node.stop(timeout)

    @property
    def endpoint(self) -> str:
        """Where other nodes reach this one."""
        return self._running().loop.endpoint

    def publish(
        self,
        address: Address,
        body: bytes,
        *,
        ttl: float | None = None,
        mandatory: bool = False,
        timeout: float = 30.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        node = self._running()
        if len(body) > BODY_LIMIT:
            raise MessageTooLarge(
                f"A message of {len(body)} bytes is too large for zmq://; {BODY_LIMIT} is the most",
                limit=BODY_LIMIT,
            )
        receipt = Receipt()
        publication = Publication(
            address.kind,
            place_of(address),
            body,
            headers,
            None if ttl is None else self._clock.monotonic() + ttl,
            mandatory,
            receipt,
        )
        outbox = node.engine.outbox
        node.loop.post(outbox.publish, publication)
        if address.kind is Kind.REPLY and publication.place in outbox.reachable:
            return  # on its way, ahead of everything this node says to the caller from now on
        if not receipt.wait(timeout):
            node.loop.post(outbox.withdraw, receipt)
            raise BusUnavailable(
                f"Nobody has said within {timeout:g} s that the message for {address.name} arrived",
                address=address.name,
            )
        if receipt.error is not None:
            raise receipt.error

    def consume(
        self, address: Address, deliver: Deliver, *, group: str = "", prefetch: int = 16
    ) -> Consumer:
        node = self._running()
        if address.kind not in LASTING:
            # Each that listens has a copy of its own: a group of one.
            group = f"{node.name}.{next(self._listeners)}"
        local = LocalConsumer(address, group, deliver, prefetch)
        records = node.keeper.enter(local)
        node.loop.post(node.engine.consume, local)
        known = Receipt()
        node.loop.post(node.engine.announce, records, known)
        known.wait(JOIN_PATIENCE)
        return _ZmqConsumer(node, local)

    def check(self) -> None:
        node = self._running()
        alive = Receipt()
        node.loop.post(alive.complete)
        if not alive.wait(COMMAND_PATIENCE):
            raise BusUnavailable("The bus's own thread does not answer")
        node.keeper.check()

    def _running(self) -> _Node:
        node = self._node
        if node is None:
            raise BusUnavailable("The bus is stopped")
        return node
