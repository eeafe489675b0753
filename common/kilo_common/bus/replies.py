"""The reply queue of a client, and the calls that wait for what comes on it."""

import logging
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from queue import Empty, SimpleQueue

from kilo_common.bus.envelope import Reply, unwrap
from kilo_common.bus.errors import CallAborted, CallTimeout, EnvelopeInvalid
from kilo_common.bus.target import Address, Kind
from kilo_common.bus.transport import Consumer, Delivery, Transport

log = logging.getLogger(__name__)
PREFETCH = 100


class Waiting:
    """One call's wait for its answer."""

    def __init__(self) -> None:
        self._arrived: SimpleQueue[Reply | None] = SimpleQueue()

    def put(self, reply: Reply | None) -> None:
        """A reply came; None: there will be none."""
        self._arrived.put(reply)

    def answer(self, deadline: float, monitor: float | None) -> Reply:
        """The answer, if it comes before `deadline` (monotonic seconds), and if with `monitor` no
        longer time than that passes in silence.

        Raises:
            CallTimeout: it did not; `silent` in its details tells which of the two.
            CallAborted: the client was stopped.
        """
        said: Reply | None = None
        while True:
            left = deadline - time.monotonic()
            silent = monitor is not None and monitor < left
            try:
                reply = self._arrived.get(
                    timeout=max(0.0, monitor if silent and monitor is not None else left)
                )
            except Empty:
                raise CallTimeout("no answer", silent=silent) from None
            if reply is None:
                raise CallAborted("The client was stopped; the method may have run")
            # Old peers send the answer marked as not ending, and an empty end after it.
            said = reply if reply.says_something else said
            if reply.ending:
                return said or reply


class ReplyInbox:
    """A queue of this client alone. It is opened by the first call, on a thread of its own, so
    that a broker that does not answer keeps no call beyond its time-out."""

    def __init__(self, transport: Transport, name: str) -> None:
        self.name = name
        self._transport = transport
        self._address = Address(Kind.REPLY, "", name)
        self._waiting: dict[str, Waiting] = {}
        self._lock = threading.Lock()
        self._consumer: Consumer | None = None
        self._opening: Future[None] | None = None
        self._closed = False

    def open(self, timeout: float) -> None:
        """Return when the queue is there.

        Raises:
            BusUnavailable: the broker does not answer.
            CallTimeout: not within `timeout` seconds; nothing was asked of anybody.
            CallAborted: the inbox is closed.
        """
        if self._consumer is not None and not self._closed:
            return
        with self._lock:
            if self._closed:
                raise CallAborted("The client is stopped; nothing was sent", may_have_run=False)
            opening = self._opening
            if opening is None:
                opening = self._opening = Future()
                threading.Thread(
                    target=self._open, args=(opening,), name="bus-replies", daemon=True
                ).start()
        try:
            opening.result(timeout)
        except FutureTimeout:
            raise CallTimeout(
                f"The broker gave no reply queue within {timeout:g} s; nothing was sent",
                may_have_run=False,
                timeout=timeout,
            ) from None

    def expect(self, message_id: str) -> Waiting:
        """A wait for the answer to `message_id`, to be forgotten afterwards."""
        waiting = self._waiting[message_id] = Waiting()
        return waiting

    def forget(self, message_id: str) -> None:
        """Nobody waits for that answer any more."""
        self._waiting.pop(message_id, None)

    def close(self) -> None:
        """Let go of the queue. Calls that wait fail at once."""
        with self._lock:
            self._closed = True
            consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.cancel()
        for waiting in list(self._waiting.values()):
            waiting.put(None)

    def _open(self, opening: "Future[None]") -> None:
        try:
            consumer = self._transport.consume(self._address, self._receive, prefetch=PREFETCH)
        except Exception as fault:  # noqa: BLE001 - a thread's edge: those who wait are told
            with self._lock:
                self._opening = None
            opening.set_exception(fault)
            return
        with self._lock:
            closed = self._closed
            if not closed:
                self._consumer = consumer
        if closed:
            consumer.cancel()
        opening.set_result(None)

    def _receive(self, delivery: Delivery) -> None:
        try:
            reply = Reply.from_message(unwrap(delivery.body))
        except EnvelopeInvalid as fault:
            log.warning("a reply is refused: %s", fault)
            delivery.reject(str(fault))
            return
        delivery.ack()
        waiting = self._waiting.get(reply.message_id)
        if waiting is None:
            log.debug("the answer to %s came too late", reply.message_id)
        else:
            waiting.put(reply)
