"""The thread (a greenlet under gevent) that owns a node's sockets and runs its engine.

One ROUTER hears everything, and a DEALER for each peer says everything, so that only one socket is
ever waited for. Others reach the thread by `post`: a queue, and a wake-up over inproc when the
thread waits.
"""

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import zmq

from kilo_common.bus.errors import BusUnavailable
from kilo_common.bus.zmq_transport.settings import ZmqSettings, endpoint_of
from kilo_common.bus.zmq_transport.sockets import breather, waiting_zmq
from kilo_common.clock import Clock

log = logging.getLogger(__name__)
MESSAGE_LIMIT = 256 << 20
"""Bytes of one ZeroMQ message; the connection of a peer that sends more is cut."""
SEND_QUEUE = 1000
"""Batches that wait on one connection before its frames wait in the engine."""
IN_ONE_GO = 200
"""Batches read before commands get their turn."""
TICK = 0.1
LINGER_MS = 1000
"""How long a connection may take, at the end, to get rid of what was sent on it."""
_WAKE = b"wake"


class Mind(Protocol):
    """The engine, as the loop sees it."""

    def at(self, now: float) -> None: ...
    def received(self, endpoint: str, data: bytes) -> None: ...
    def tick(self) -> None: ...
    def flush(self) -> None: ...


class IoLoop:
    """The sockets of one node."""

    def __init__(self, settings: ZmqSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._commands: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._idle = False
        self._finished = False
        self._waking = threading.Lock()
        self._dealers: dict[str, zmq.Socket[bytes]] = {}
        self._breathe = breather()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self.endpoint = ""

    def open(self) -> None:
        """Bind; `endpoint` is then what others connect to.

        Raises:
            BusUnavailable: the address cannot be listened on.
        """
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        green = waiting_zmq().Context.shadow(self._context.underlying)
        self._router = green.socket(zmq.ROUTER)
        try:
            self._bind()
        except zmq.ZMQError as fault:
            self._router.close(0)
            self._context.term()
            where = f"{self._settings.host}:{self._settings.port}"
            raise BusUnavailable(f"This node cannot listen on {where}: {fault.strerror}") from None
        # Not green: a native thread without an event loop may use it, under the lock.
        self._wake = self._context.socket(zmq.DEALER)
        self._wake.set(zmq.ROUTING_ID, _WAKE)
        self._wake.set(zmq.LINGER, 0)
        self._wake.connect(f"inproc://{id(self)}")

    def _bind(self) -> None:
        settings, router = self._settings, self._router
        router.set(zmq.LINGER, 0)
        router.set(zmq.MAXMSGSIZE, MESSAGE_LIMIT)
        # A peer that lost its connection comes back under the same name: the new one counts.
        router.set(zmq.ROUTER_HANDOVER, 1)
        router.set(zmq.IPV6, int(":" in settings.host))
        router.bind(endpoint_of(settings.host, settings.port or "*"))
        port = router.get(zmq.LAST_ENDPOINT).decode().rpartition(":")[2]
        self.endpoint = endpoint_of(settings.advertise or settings.host, port)
        router.bind(f"inproc://{id(self)}")

    def start(self, mind: Mind) -> None:
        """Begin to hear and to say."""
        self._mind = mind
        for target, name in ((self._run, "zmq-io"), (self._tick, "zmq-tick")):
            thread = threading.Thread(target=target, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def post(self, function: Callable[..., None], *arguments: Any) -> None:
        """Run `function` in the loop's thread, soon; returns at once."""
        self._commands.append((function, arguments))
        if self._idle:
            self._idle = False
            with self._waking, contextlib.suppress(zmq.ZMQError):  # closed: nobody is to be woken
                self._wake.send(b"", zmq.NOBLOCK)

    @property
    def is_own_thread(self) -> bool:
        """Whether the caller runs in the loop."""
        return threading.current_thread() is self._threads[0]

    def close(self, timeout: float) -> None:
        """Send what is still to be sent, and close."""
        self._ended.set()
        self.post(self._finish)
        for thread in self._threads:
            thread.join(timeout)

    # --- the peers' connections -----------------------------------------------------------------

    def send(self, endpoint: str, data: bytes) -> bool:
        dealer = self._dealers.get(endpoint)
        if dealer is None:
            dealer = self._dealers[endpoint] = self._connect(endpoint)
        try:
            dealer.send(data, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def close_link(self, endpoint: str) -> None:
        dealer = self._dealers.pop(endpoint, None)
        if dealer is not None:
            dealer.close(0)

    def _connect(self, endpoint: str) -> "zmq.Socket[bytes]":
        dealer = self._context.socket(zmq.DEALER)
        # The name under which the peer's ROUTER shows us is where it can answer.
        dealer.set(zmq.ROUTING_ID, self.endpoint.encode())
        dealer.set(zmq.SNDHWM, SEND_QUEUE)
        dealer.set(zmq.RECONNECT_IVL_MAX, 1000)
        dealer.set(zmq.IPV6, int("[" in endpoint))
        dealer.connect(endpoint)
        return dealer

    # --- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._finished:
                self._turn()
        finally:
            for dealer in self._dealers.values():
                dealer.close(LINGER_MS)
            with self._waking:
                self._wake.close(0)
            self._router.close(0)
            self._context.term()

    def _turn(self) -> None:
        self._idle = True
        if not self._commands:
            parts = self._router.recv_multipart()
            self._idle = False
            self._mind.at(self._clock.monotonic())
            self._hear(parts)
        else:
            self._idle = False
            self._mind.at(self._clock.monotonic())
        self._obey()
        # Whoever was given something now may answer at once; it then goes in one batch.
        self._breathe()
        self._obey()
        self._safely(self._mind.flush)

    def _hear(self, parts: list[bytes]) -> None:
        for _turn in range(IN_ONE_GO):
            if len(parts) == 2 and parts[0] != _WAKE:
                self._safely(self._mind.received, parts[0].decode("ascii", "replace"), parts[1])
            try:
                parts = self._router.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return

    def _obey(self) -> None:
        for _turn in range(len(self._commands)):
            function, arguments = self._commands.popleft()
            self._safely(function, *arguments)

    def _safely(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            function(*arguments)
        except Exception:
            log.exception("the bus could not deal with something; it goes on")

    def _tick(self) -> None:
        while not self._ended.wait(TICK):
            self.post(self._mind.tick)

    def _finish(self) -> None:
        self._finished = True
