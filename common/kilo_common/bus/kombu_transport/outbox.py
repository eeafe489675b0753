"""What waits to be written on one link: senders put it here and go on, one writer takes it.

So nobody ever waits for a socket, many small frames leave in one write, and a publish that its
caller gives up before it was written is not sent at all.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from kilo_common.bus.kombu_transport.waiting import Publish

BATCH = 256 * 1024
"""About how many bytes are written at once."""


class Ledger(Protocol):
    """Keeps account of what was published on one channel."""

    @property
    def quiet(self) -> bool:
        """Whether nothing is under way on the channel."""
        ...

    @property
    def ready(self) -> bool:
        """Whether the channel may publish now. When it may again, `Outbox.poke` must be called."""
        ...

    def enter(self, publish: Publish) -> bool:
        """The publish is written next; False when the channel is closed and it must not be."""
        ...

    def close_batch(self) -> bytes:
        """What must follow the publishes that were entered since the last time."""
        ...


class Outbox:
    """Frames and publishes in line for the writer of a link."""

    def __init__(self, write_now: Callable[[bytes], int]) -> None:
        """`write_now` writes what the socket takes without waiting, and says how much that was."""
        self._write_now = write_now
        self._rest = b""
        self._lock = threading.Lock()
        self._signal = threading.Lock()
        self._signal.acquire()
        self._idle = False
        self._open = True
        self._held = False
        self._frames: deque[bytes] = deque()
        self._publishes: deque[tuple[Ledger, Publish]] = deque()

    def put(self, frame: bytes) -> None:
        """Send a frame, ahead of publishes that wait."""
        with self._lock:
            self._frames.append(frame)
            self._wake()

    def publish(self, ledger: Ledger, publish: Publish) -> None:
        """Send a publish; `ledger` hears of it when it is written."""
        with self._lock:
            self._publishes.append((ledger, publish))
            if self._held:
                return
            if self._idle and ledger.quiet:
                # A lone publish does not wait for the writer to wake up; where there are many, the
                # writer gathers them.
                batch = self._gather()
                self._rest = batch[self._write_now(batch) :]
                if not self._rest:
                    return
            self._wake()

    def withdraw(self, publish: Publish) -> bool:
        """Do not send `publish`; False when it was written already."""
        with self._lock:
            if publish.written:
                return False
            for item in self._publishes:
                if item[1] is publish:
                    self._publishes.remove(item)
                    break
            return True

    def hold(self, held: bool) -> None:
        """Keep publishes back, or let them go: the broker said whether it takes any."""
        with self._lock:
            self._held = held
            self._wake()

    def poke(self) -> None:
        """Look again: a channel has become ready."""
        with self._lock:
            self._wake()

    def close(self) -> list[Publish]:
        """End the writer; returns the publishes that were not written."""
        with self._lock:
            self._open = False
            unsent = [publish for _, publish in self._publishes]
            self._publishes.clear()
            self._wake()
        return unsent

    def take(self) -> bytes | None:
        """The next bytes to write, waiting for some; None when the outbox is closed."""
        while True:
            with self._lock:
                if not self._open:
                    return None
                batch = self._gather()
                if batch:
                    return batch
                self._idle = True
            self._signal.acquire()

    def _gather(self) -> bytes:
        """Called with the lock held."""
        parts = [self._rest, *self._frames]
        self._rest = b""
        self._frames.clear()
        size = 0
        ledgers: dict[Ledger, None] = {}
        not_now = []
        while self._publishes and not self._held and size < BATCH:
            ledger, publish = self._publishes.popleft()
            if not ledger.ready:
                not_now.append((ledger, publish))
                continue
            if not ledger.enter(publish):
                continue
            publish.written = True
            ledgers[ledger] = None
            parts.append(publish.frames)
            size += len(publish.frames)
        self._publishes.extendleft(reversed(not_now))
        parts += [ledger.close_batch() for ledger in ledgers]
        return b"".join(parts)

    def _wake(self) -> None:
        """Called with the lock held."""
        if self._idle:
            self._idle = False
            self._signal.release()
