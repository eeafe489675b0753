"""Serves endpoints: on the topic's shared queue, on the server's own, and on the fanout."""

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from kilo_common.bus.call_monitor import CallMonitor
from kilo_common.bus.dispatcher import Dispatcher, Endpoint, Method, RequestInfo
from kilo_common.bus.duplicates import Duplicates
from kilo_common.bus.envelope import Reply, Request, unwrap
from kilo_common.bus.errors import BusUnavailable, EnvelopeInvalid, NoRoute
from kilo_common.bus.executors import open_executor
from kilo_common.bus.middleware.base import Chain, Incoming, MessageKind, Middleware
from kilo_common.bus.remote import dump_failure
from kilo_common.bus.sender import Sender
from kilo_common.bus.serializer import Serializer
from kilo_common.bus.serving import Serving, Source
from kilo_common.bus.target import Address, Kind, Target
from kilo_common.bus.transport import Delivery, Transport
from kilo_common.bus.verdict import DONE, Outcome
from kilo_common.errors import Failure, KiloError
from kilo_common.ids import HexIds, IdSource

log = logging.getLogger(__name__)
REMEMBERED = 256
"""How many answers are kept for methods marked `once`, to know a duplicate when one comes."""
REPLY_TIMEOUT = 10.0


class RpcServer:
    """Runs the methods that callers ask for; acknowledges a request when its work is done."""

    def __init__(
        self,
        transport: Transport,
        target: Target,
        endpoints: Sequence[Endpoint],
        *,
        new_id: IdSource,
        workers: int = 8,
        executor: str = "threads",
        serializer: Serializer | None = None,
        middleware: Sequence[Middleware] = (),
        send_tracebacks: bool = False,
    ) -> None:
        """`target.server` names this server; requests address the topic, it, or all.

        `executor` is one of `executors.EXECUTORS`. With `send_tracebacks` callers see where in the
        code a method failed: only for a bus whose users may see the code.
        """
        self._dispatcher = Dispatcher(endpoints, serializer)
        self._sender = Sender(transport, middleware)
        self._chain = Chain(middleware)
        self._ids = HexIds(new_id)
        self._monitor = CallMonitor(f"rpc-{target.topic}-monitor")
        self._answers: Duplicates[Reply] = Duplicates(REMEMBERED)
        self._send_tracebacks = send_tracebacks
        sources = [Source(target.topic_address), Source(target.fanout_address)]
        if target.server:
            sources.append(Source(target.server_address))
        name = f"rpc-{target.topic}"
        pool = open_executor(executor, self._serve, workers, name)
        self._serving = Serving(transport, sources, pool, prefetch=2 * workers)

    def start(self) -> None:
        """Begin to serve.

        Raises:
            BusUnavailable: the broker cannot be reached; nothing is left running.
        """
        self._serving.start()

    def stop(self, timeout: float) -> None:
        """Take no more and finish what is in hand. What is not finished within `timeout` seconds
        is not acknowledged: it comes again, here or elsewhere."""
        self._serving.stop(timeout)

    def serve_forever(self) -> None:
        """Start, and serve until somebody calls `stop`; with the executor `blocking` on the thread
        that calls this. Raises as `start`."""
        self._serving.run()

    def _serve(self, delivery: Delivery) -> None:
        try:
            request = Request.from_message(unwrap(delivery.body))
        except EnvelopeInvalid as fault:
            log.warning("a request is refused: %s", fault)
            delivery.reject(str(fault))
            return
        try:
            method = self._dispatcher.find(request)
        except KiloError as error:
            # A caller is told; of a cast nobody would hear.
            level = logging.DEBUG if request.is_call else logging.WARNING
            log.log(level, "%s is refused: %s", request.method, error)
            self._answer(request, Reply("", None, dump_failure(error)))
            delivery.ack()
            return
        if method.marking.once and request.unique_id:
            self._serve_once(method, request, delivery)
        else:
            self._work(method, request, delivery)

    def _serve_once(self, method: Method, request: Request, delivery: Delivery) -> None:
        def again(first: Reply | None) -> None:
            if first is None:
                delivery.requeue()
                return
            log.info("a duplicate of %s is not run", request.method)
            self._answer(request, first)
            delivery.ack()

        if self._answers.first(request.unique_id, again):
            finished: Reply | None = None
            try:
                finished = self._work(method, request, delivery)
            finally:
                self._answers.finish(request.unique_id, finished)

    def _work(self, method: Method, request: Request, delivery: Delivery) -> Reply | None:
        """Run the method, answer, settle: the answer, or None if the request will come again."""
        kind = MessageKind.CALL if request.is_call else MessageKind.CAST
        incoming = Incoming(kind, request.method, request, delivery)
        result: Any = None

        def run() -> None:
            nonlocal result
            result = self._dispatcher.dispatch(method, request, lambda: _info(incoming, request))

        with self._watch(request):
            verdict, error = self._chain.handle(incoming, run)
        failure: str | None = None
        if error is not None:
            self._log(method, error)
            failure = dump_failure(error, with_traceback=self._send_tracebacks)
        reply = Reply("", result, failure)
        if request.is_call:
            # Whatever a middleware says: the caller has its answer, and must not get another.
            self._answer(request, reply)
            verdict = DONE
        verdict = verdict or DONE
        verdict.settle(delivery)
        return None if verdict.outcome is Outcome.AGAIN else reply

    def _watch(self, request: Request) -> Any:
        """While the block runs, a caller that wants to be told so is told that it does."""
        if request.monitor is None or not request.is_call:
            return nullcontext()
        alive = Reply("", ending=False)
        return self._monitor.watch(request.monitor / 2, lambda: self._answer(request, alive))

    def _answer(self, request: Request, reply: Reply) -> None:
        if request.message_id is None or request.reply_to is None:
            return
        address = Address(Kind.REPLY, "", request.reply_to)
        message = reply.to_message()
        message["_msg_id"], message["_unique_id"] = request.message_id, self._ids()
        try:
            self._sender.send(
                *(MessageKind.REPLY, request.message_id, address, message),
                mandatory=True,
                timeout=REPLY_TIMEOUT,
            )
        except NoRoute:
            log.info("the caller of %s has gone; its reply is dropped", request.method)
        except BusUnavailable as fault:
            log.warning("the reply to %s could not be sent: %s", request.method, fault)

    def _log(self, method: Method, error: Exception) -> None:
        expected = isinstance(error, method.marking.expected_exceptions)
        if expected or (isinstance(error, KiloError) and not isinstance(error, Failure)):
            log.debug("%s: %s", method.name, error)
        else:
            log.error("%s failed", method.name, exc_info=error)


def _info(incoming: Incoming, request: Request) -> RequestInfo:
    return RequestInfo(
        request.method,
        request.unique_id,
        incoming.redelivered,
        request.is_call,
        incoming.headers,
    )
