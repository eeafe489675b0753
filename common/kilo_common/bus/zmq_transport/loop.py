"""The thread that owns a node's sockets and runs its engine.

One ROUTER hears everything, and a DEALER for each peer says everything, so that only one socket is
ever waited for. Others reach the thread by `post`: a queue, and a wake-up over inproc when the
thread waits. Under gevent all is one thread, and two greenlets share it: one waits for the ROUTER,
the other for commands, which is a fifth of the cost of a wake-up over inproc. They change places
only where the engine is at rest.
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
from kilo_common.bus.zmq_transport.sockets import Ear, breather, is_green, open_ear
from kilo_common.clock import Clock

log = logging.getLogger(__name__)
MESSAGE_LIMIT = 256 << 20
"""Bytes of one ZeroMQ message; the connection of a peer that sends more is cut."""
SEND_QUEUE = 1000
"""Batches that wait on one connection before its frames wait in the engine."""
RECONNECT_MS = 100
"""Well within the time after which a silent peer counts as dead: it may be restarting."""
IN_ONE_GO = 200
"""Batches read before commands get their turn."""
TICK = 0.1
LINGER_MS = 1000
"""How long a connection may take, at the end, to get rid of what was sent on it."""
_WAKE = b"wake"
_NOBLOCK = int(zmq.NOBLOCK)


class Mind(Protocol):
    """The engine, as the loop sees it."""

    def at(self, now: float) -> None: ...
    def received(self, data: bytes) -> None: ...
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
        self._is_green = is_green()
        self._breathe = breather()
        self._bell = threading.Lock()
        self._bell.acquire()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self.endpoint = ""

    def open(self) -> None:
        """Bind; `endpoint` is then what others connect to.

        Raises:
            BusUnavailable: the address cannot be listened on.
        """
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        try:
            self._bind()
        except zmq.ZMQError as fault:
            self._router.close(0)
            self._context.term()
            where = f"{self._settings.host}:{self._settings.port}"
            raise BusUnavailable(f"This node cannot listen on {where}: {fault.strerror}") from None
        # A native thread without an event loop may use it, under the lock.
        self._wake = self._context.socket(zmq.DEALER)
        self._wake.set(zmq.ROUTING_ID, _WAKE)
        self._wake.set(zmq.LINGER, 0)
        self._wake.connect(f"inproc://{id(self)}")

    def _bind(self) -> None:
        settings, router = self._settings, self._router
        router.set(zmq.LINGER, 0)
        router.set(zmq.MAXMSGSIZE, MESSAGE_LIMIT)
        router.set(zmq.IPV6, int(":" in settings.host))
        router.bind(endpoint_of(settings.host, settings.port or "*"))
        bound = router.get(zmq.LAST_ENDPOINT)
        assert isinstance(bound, bytes)
        port = bound.decode().rpartition(":")[2]
        self.endpoint = endpoint_of(settings.advertise or settings.host, port)
        router.bind(f"inproc://{id(self)}")

    def start(self, mind: Mind) -> None:
        """Begin to hear and to say."""
        self._mind = mind
        targets = [(self._run, "zmq-io"), (self._tick, "zmq-tick")]
        if self._is_green:
            targets.append((self._command, "zmq-commands"))
        for target, name in targets:
            thread = threading.Thread(target=target, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def post(self, function: Callable[..., None], *arguments: Any) -> None:
        """Run `function` in the loop's thread, soon; returns at once."""
        self._commands.append((function, arguments))
        if self._idle:
            self._idle = False
            if self._is_green:
                with contextlib.suppress(RuntimeError):  # another thread rang in this moment
                    self._bell.release()
            else:
                with self._waking, contextlib.suppress(zmq.ZMQError):  # closed: nobody sleeps
                    self._wake.send(b"", _NOBLOCK)

    @property
    def is_own_thread(self) -> bool:
        """Whether the caller runs in the loop."""
        return threading.current_thread() in self._threads

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
            dealer.send(data, _NOBLOCK)
        except zmq.Again:
            return False
        return True

    def close_link(self, endpoint: str) -> None:
        dealer = self._dealers.pop(endpoint, None)
        if dealer is not None:
            dealer.close(0)

    def _connect(self, endpoint: str) -> "zmq.Socket[bytes]":
        dealer = self._context.socket(zmq.DEALER)
        dealer.set(zmq.SNDHWM, SEND_QUEUE)
        dealer.set(zmq.RECONNECT_IVL, RECONNECT_MS)
        dealer.set(zmq.IPV6, int("[" in endpoint))
        dealer.connect(endpoint)
        return dealer

    # --- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        ear = open_ear(self._router)
        try:
            while not self._finished:
                self._idle = True
                if self._commands:
                    self._idle = False
                else:
                    parts = ear.next()
                    self._idle = False
                    self._mind.at(self._clock.monotonic())
                    self._hear(ear, parts)
                self._work()
        finally:
            ear.close()
            self._close_sockets()

    def _command(self) -> None:
        """What the second greenlet does; the first hears."""
        while not self._finished:
            self._idle = True
            if not self._commands:
                self._bell.acquire()
            self._idle = False
            self._work()
        with self._waking, contextlib.suppress(zmq.ZMQError):  # closed: it has ended already
            self._wake.send(b"", _NOBLOCK)

    def _work(self) -> None:
        self._mind.at(self._clock.monotonic())
        self._obey()
        # Whoever was given something now may answer at once; it then goes in one batch.
        self._breathe()
        while self._commands:
            self._obey()
        self._safely(self._mind.flush)

    def _hear(self, ear: Ear, parts: list[bytes]) -> None:
        found: list[bytes] | None = parts
        left = IN_ONE_GO
        while found is not None:
            if len(found) == 2 and found[0] != _WAKE:
                self._safely(self._mind.received, found[1])
            left -= 1
            found = ear.more() if left else None

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

    def _close_sockets(self) -> None:
        for dealer in self._dealers.values():
            dealer.close(LINGER_MS)
        with self._waking:
            self._wake.close(0)
        self._router.close(0)
        self._context.term()
