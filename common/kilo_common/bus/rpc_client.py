"""Calls methods of servers on the bus: call and wait, cast and go on, fanout to all."""

import logging
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from kilo_common.bus.envelope import Reply, Request, unwrap, wrap
from kilo_common.bus.errors import CallTimeout, EnvelopeInvalid
from kilo_common.bus.remote import codes, load_failure
from kilo_common.bus.target import Address, Kind, Target
from kilo_common.bus.transport import Consumer, Delivery, Transport
from kilo_common.context import RequestContext
from kilo_common.errors import KiloError
from kilo_common.ids import IdSource

log = logging.getLogger(__name__)


class RpcClient:
    """A caller of one target. Its reply queue is made at the first call."""

    def __init__(
        self,
        transport: Transport,
        target: Target,
        *,
        new_id: IdSource,
        timeout: float = 60.0,
        errors: Iterable[type[KiloError]] = (),
    ) -> None:
        """`errors` are the types that are raised as themselves when a server answers with them."""
        self._transport = transport
        self._target = target
        self._new_id = new_id
        self._timeout = timeout
        self._errors = codes(errors)
        self._waiting: dict[str, Future[Reply]] = {}
        self._reply_queue = f"reply_{new_id().replace('-', '')}"
        self._replies: Consumer | None = None
        self._starting = threading.Lock()

    def call(
        self, context: RequestContext, method: str, *, timeout: float | None = None, **args: Any
    ) -> Any:
        """Run `method` at one server and return its result.

        Raises:
            CallTimeout: no answer in time; the method may have run.
            NoRoute: nobody serves the target (drivers that can tell).
            BusUnavailable: the request could not be handed to the broker.
            RemoteError, or a registered type: what the method raised.
        """
        patience = self._timeout if timeout is None else timeout
        self._listen()
        message_id = self._new_id().replace("-", "")
        answer: Future[Reply] = Future()
        self._waiting[message_id] = answer
        try:
            request = self._request(context, method, args, message_id)
            self._publish(request, self._target, ttl=patience, timeout=patience, mandatory=True)
            reply = answer.result(patience)
        except FutureTimeout:
            raise CallTimeout(
                f"{self._target.topic} did not answer {method} within {patience:g} s; "
                "the method may have run",
                method=method,
                timeout=patience,
            ) from None
        finally:
            self._waiting.pop(message_id, None)
        if reply.failure is not None:
            raise load_failure(reply.failure, self._errors)
        return reply.result

    def cast(self, context: RequestContext, method: str, **args: Any) -> None:
        """Ask one server to run `method`; return when the broker has the request.

        Raises:
            BusUnavailable: the request could not be handed to the broker.
        """
        self._publish(self._request(context, method, args), self._target, timeout=self._timeout)

    def fanout(self, context: RequestContext, method: str, **args: Any) -> None:
        """Ask every server of the topic to run `method`.

        Raises:
            BusUnavailable: the request could not be handed to the broker.
        """
        everybody = self._target.with_(fanout=True)
        self._publish(self._request(context, method, args), everybody, timeout=self._timeout)

    def stop(self, timeout: float) -> None:
        """Let go of the reply queue; calls that wait fail as timed out."""
        del timeout
        if self._replies is not None:
            self._replies.cancel()

    def _request(
        self,
        context: RequestContext,
        method: str,
        args: dict[str, Any],
        message_id: str | None = None,
    ) -> Request:
        return Request(
            method=method,
            args=args,
            context=context.to_dict(),
            namespace=self._target.namespace,
            version=self._target.version,
            message_id=message_id,
            reply_to=self._reply_queue if message_id else None,
            unique_id=self._new_id().replace("-", ""),
        )

    def _publish(
        self,
        request: Request,
        target: Target,
        *,
        timeout: float,
        ttl: float | None = None,
        mandatory: bool = False,
    ) -> None:
        body = wrap(request.to_message())
        self._transport.publish(target.address, body, ttl=ttl, mandatory=mandatory, timeout=timeout)

    def _listen(self) -> None:
        if self._replies is None:
            with self._starting:
                if self._replies is None:
                    address = Address(Kind.REPLY, "", self._reply_queue)
                    self._replies = self._transport.consume(address, self._answer, prefetch=100)

    def _answer(self, delivery: Delivery) -> None:
        try:
            reply = Reply.from_message(unwrap(delivery.body))
        except EnvelopeInvalid as fault:
            log.warning("a reply is refused: %s", fault)
            delivery.reject(str(fault))
            return
        delivery.ack()
        waiting = self._waiting.get(reply.message_id)
        # A reply that is not the ending one only says that the method is still at work.
        if waiting is not None and reply.ending and not waiting.done():
            waiting.set_result(reply)
