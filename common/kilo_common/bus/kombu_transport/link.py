"""One connection to a broker that many threads use at once.

One thread reads everything: confirmations, deliveries, heartbeats, answers. Another writes what is
in the outbox. Everybody else puts frames into the outbox and waits, if at all, on a `Settled`.
"""

import contextlib
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import amqp
from amqp import spec
from amqp.exceptions import AMQPError, ChannelError, error_for_code

from kilo_common.bus.kombu_transport import frames
from kilo_common.bus.kombu_transport.connection import Connected
from kilo_common.bus.kombu_transport.outbox import Outbox
from kilo_common.bus.kombu_transport.waiting import Answer, Fate, LinkLost, TooLate, left

log = logging.getLogger(__name__)
BROKER_ERRORS = (AMQPError, OSError, ValueError, KeyError, struct.error)
"""What reading from a broker may raise: its errors, the socket's, and what is not AMQP at all."""
TICK = 1.0
"""Seconds a read waits before the thread looks after heartbeats."""
CHUNK = 256 * 1024


class Link:
    """A live connection. It ends once, by `fail` or `close`, and is never reused."""

    def __init__(
        self, connected: Connected, on_end: Callable[[Exception], None], *, renewed: bool
    ) -> None:
        """Takes over a connection just made. The thread that builds it is its reader. A `renewed`
        link comes after one that was lost."""
        connection = self._kombu = connected.connection  # it closes the socket when it is collected
        self.amqp: Any = connection.connection
        self.durable_only = connected.durable_only
        self.outbox = Outbox(self._write_now)
        self.frame_max: int = self.amqp.frame_max
        self.alive = True
        self.blocked = False
        self._on_end = on_end
        self._sock: Any = self.amqp.transport.sock
        self._sock.settimeout(TICK)  # and with it, the system does not block either
        self._rest = b""
        self._reader = threading.get_ident()
        self._lock = threading.Lock()
        self._answers: set[Answer] = set()
        self._renewed = renewed
        self._began = self._heard = self._said = time.monotonic()
        self.amqp.frame_writer = frames.frame_writer(self.outbox.put)
        self.amqp.on_blocked = lambda _reason: self._block(True)
        self.amqp.on_unblocked = lambda: self._block(False)
        self._writer = threading.Thread(target=self._write, name="bus-writer", daemon=True)
        self._writer.start()

    def fresh(self, seconds: float) -> bool:
        """Whether a link was lost and this came in its place, less than so many seconds ago."""
        return self._renewed and time.monotonic() - self._began < seconds

    def channel(
        self, deadline: float, on_closed: Callable[[Exception], None] | None = None
    ) -> "LinkChannel":
        """A new channel, whose methods that wait for an answer wait until `deadline`. `on_closed`
        hears when the broker closes it or the link ends.

        Raises:
            LinkLost, TooLate: there is none.
        """
        with self._lock:  # numbers of channels are not given out safely by themselves
            if not self.alive:
                raise LinkLost("the connection to the broker is lost")
            channel = LinkChannel(self, deadline, on_closed)
        channel.open()
        return channel

    def await_answer(self, answer: Answer, deadline: float) -> tuple[Any, ...]:
        """What the broker answers. The reader itself reads on until then.

        Raises:
            LinkLost, TooLate, or the broker's error.
        """
        with self._lock:
            if not self.alive:
                raise LinkLost("the connection to the broker is lost")
            self._answers.add(answer)
        try:
            if threading.get_ident() == self._reader:
                while not answer.done and left(deadline):
                    self.read()
            elif not answer.wait(left(deadline)):
                raise TooLate("the broker does not answer")
            if not answer.done:
                raise TooLate("the broker does not answer")
            return answer.result()
        finally:
            with self._lock:
                self._answers.discard(answer)

    def read(self) -> None:
        """Read what there is, waiting a moment for it, and see to heartbeats. For the reader only.

        Raises:
            one of BROKER_ERRORS: the connection is lost.
        """
        try:
            data = self._sock.recv(CHUNK)
        except TimeoutError:
            data = None
        now = time.monotonic()
        if data is not None:
            if not data:
                raise LinkLost("the broker closed the connection")
            self._heard = now
            found, self._rest = frames.split(self._rest + data if self._rest else data)
            for frame in found:
                self.amqp.on_inbound_frame(frame)
        beat = self.amqp.heartbeat
        if beat and now - self._heard > 2 * beat:
            raise LinkLost(f"the broker has been silent for {now - self._heard:.0f} s")
        if beat and now - self._said > beat / 2:
            self._said = now
            self.outbox.put(frames.frame(8, 0, b""))

    def fail(self, fault: Exception) -> None:
        """The connection is lost: whatever is under way on it is told so."""
        with self._lock:
            if not self.alive:
                return
            self.alive = False
            answers, self._answers = self._answers, set()
            channels = [each for each in self.amqp.channels.values() if each is not self.amqp]
        lost = fault if isinstance(fault, LinkLost) else LinkLost(str(fault) or repr(fault))
        with contextlib.suppress(OSError):  # it may be gone already; this wakes the reader
            self._sock.shutdown(socket.SHUT_RDWR)
        for publish in self.outbox.close():
            publish.settle(Fate.LOST)
        for channel in channels:
            channel.end(lost)
        for answer in answers:
            answer.fail(lost)
        self._on_end(lost)

    def hang_up(self, timeout: float) -> None:
        """Say goodbye after everything in the outbox, and end. Not for the reader."""
        answer = Answer()
        self.amqp._callbacks[spec.Connection.CloseOk] = lambda: answer(None)
        with contextlib.suppress(*BROKER_ERRORS):
            self.amqp.send_method(spec.Connection.Close, "BsBB", (200, "stopped", 0, 0))
            self.await_answer(answer, time.monotonic() + timeout)
        self.fail(LinkLost("the bus was stopped"))

    def discard(self) -> None:
        """Free the socket; the link has ended. For the reader only, as its last act."""
        with contextlib.suppress(OSError):
            self._sock.close()

    def _block(self, blocked: bool) -> None:
        log.warning("the broker %s publishing", "blocks" if blocked else "allows")
        self.blocked = blocked
        self.outbox.hold(blocked)

    def _write(self) -> None:
        try:
            while (batch := self.outbox.take()) is not None:
                view = memoryview(batch)
                while view:
                    view = view[self._send(view) :]
        except OSError as fault:
            self.fail(fault)

    def _write_now(self, data: bytes) -> int:
        # Not by the socket object, which would wait for its time-out. The outbox is closed before
        # the socket is, so the number is still ours.
        try:
            sent = os.write(self._sock.fileno(), data)
        except OSError:  # it takes nothing now; whether it ever will, the writer finds out
            return 0
        self._said = time.monotonic()
        return sent

    def _send(self, view: memoryview) -> int:
        try:
            sent: int = self._sock.send(view)
        except TimeoutError:  # the broker does not read; the reader decides whether it is gone
            return 0
        self._said = time.monotonic()
        return sent


class LinkChannel(amqp.Channel):  # type: ignore[misc]  # py-amqp is untyped
    """py-amqp's channel, waiting by the link's reader and not by reading the socket itself."""

    def __init__(
        self, link: Link, deadline: float, on_closed: Callable[[Exception], None] | None
    ) -> None:
        self.deadline = deadline
        self._link = link
        self._on_closed = on_closed
        self._answer: Answer | None = None
        super().__init__(link.amqp, auto_decode=False)
        self.number: int = self.channel_id

    def listen(self, method: tuple[int, int], handle: Callable[..., None]) -> None:
        """Call `handle` with the arguments of each such method that comes."""
        self._callbacks[method] = handle

    def send_method(
        self,
        sig: tuple[int, int],
        format: str | None = None,
        args: Sequence[Any] | None = None,
        content: Any = None,
        wait: Any = None,
        callback: Any = None,
        returns_tuple: bool = False,
    ) -> Any:
        """Send; with `wait`, return the arguments of the method that answers."""
        # py-amqp asks for the answer to this one by itself, after it is sent.
        expected = spec.Queue.DeclareOk if sig == spec.Queue.Declare else wait
        if expected is not None:
            self._answer = self._pending[expected] = Answer()  # before it is sent: reading is quick
        sent = super().send_method(sig, format, args, content, callback=callback)
        return sent if wait is None else self.wait(wait, returns_tuple=returns_tuple)

    def wait(
        self,
        method: tuple[int, int],
        callback: Any = None,
        timeout: float | None = None,
        returns_tuple: bool = False,
    ) -> Any:
        """The arguments of the method that answers the one just sent."""
        del callback, timeout  # py-amqp gives neither where it calls this
        assert self._answer is not None
        try:
            values = self._link.await_answer(self._answer, self.deadline)
        finally:
            self._answer = None
            self._pending.pop(method, None)
        return values if returns_tuple else (values and values[0])

    def abandon(self) -> None:
        """Close without waiting for the broker's word."""
        if self.connection is not None and self._link.alive:
            super().send_method(spec.Channel.Close, "BsBB", (0, "", 0, 0))

    def _on_close(self, code: int, text: str, class_id: int, method_id: int) -> None:
        fault = error_for_code(code, text, (class_id, method_id), ChannelError)
        self.end(fault)  # before our word: after that nothing may be sent on it
        super().send_method(spec.Channel.CloseOk)
        self.collect()
        if self._answer is not None:
            self._answer.fail(fault)

    def close_by(self, fault: Exception) -> None:
        """Close it because of `fault`, as if the broker had."""
        self.end(fault)
        self.abandon()

    def end(self, fault: Exception) -> None:
        """Nothing more comes on this channel."""
        if self._on_closed is not None:
            self._on_closed(fault)
