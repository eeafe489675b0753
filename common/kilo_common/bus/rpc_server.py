"""Serves endpoints: on the topic's shared queue, on the server's own, and on the fanout."""

import logging
from collections import deque
from collections.abc import Sequence
from typing import Any

from kilo_common.bus.dispatcher import Dispatcher, Endpoint
from kilo_common.bus.envelope import Reply, Request, unwrap, wrap
from kilo_common.bus.errors import BusUnavailable, EnvelopeInvalid, NoRoute
from kilo_common.bus.remote import dump_failure
from kilo_common.bus.target import Address, Kind, Target
from kilo_common.bus.transport import Consumer, Delivery, Transport
from kilo_common.bus.workers import DeliveryWorkers
from kilo_common.errors import KiloError
from kilo_common.ids import IdSource

log = logging.getLogger(__name__)
REMEMBERED = 64
"""How many unique ids of finished requests are kept, to know a duplicate when one comes."""
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
    ) -> None:
        """`target.server` names this server; requests address the topic, it, or all."""
        self._transport = transport
        self._target = target
        self._dispatcher = Dispatcher(endpoints)
        self._new_id = new_id
        self._prefetch = 2 * workers
        self._workers = DeliveryWorkers(self._serve, count=workers, name=f"rpc-{target.topic}")
        self._consumers: list[Consumer] = []
        self._finished: deque[str] = deque(maxlen=REMEMBERED)

    def start(self) -> None:
        """Begin to serve.

        Raises:
            BusUnavailable: the broker cannot be reached.
        """
        self._workers.start()
        addresses = [self._target.topic_address, self._target.fanout_address]
        if self._target.server:
            addresses.append(self._target.server_address)
        for address in addresses:
            self._consumers.append(
                self._transport.consume(address, self._workers.submit, prefetch=self._prefetch)
            )

    def stop(self, timeout: float) -> None:
        """Take no more, finish what is in hand."""
        while self._consumers:
            self._consumers.pop().cancel()
        self._workers.stop(timeout)

    def _serve(self, delivery: Delivery) -> None:
        try:
            request = Request.from_message(unwrap(delivery.body))
        except EnvelopeInvalid as fault:
            log.warning("a request is refused: %s", fault)
            delivery.reject(str(fault))
            return
        if request.unique_id and request.unique_id in self._finished:
            log.info("a duplicate of %s is dropped", request.method)
            delivery.ack()
            return
        result, failure = self._run(request)
        if request.unique_id:
            self._finished.append(request.unique_id)
        if request.message_id and request.reply_to:
            self._reply(request.reply_to, Reply(request.message_id, result, failure))
        delivery.ack()

    def _run(self, request: Request) -> tuple[Any, str | None]:
        try:
            return self._dispatcher.dispatch(request), None
        except KiloError as error:
            log.debug("%s failed: %s", request.method, error)
            return None, dump_failure(error)
        except Exception as error:
            log.exception("%s failed", request.method)
            return None, dump_failure(error)

    def _reply(self, queue: str, reply: Reply) -> None:
        body = wrap(reply.to_message() | {"_unique_id": self._new_id().replace("-", "")})
        address = Address(Kind.REPLY, "", queue)
        try:
            self._transport.publish(address, body, mandatory=True, timeout=REPLY_TIMEOUT)
        except NoRoute:
            log.info("the caller of %s has gone; its reply is dropped", reply.message_id)
        except BusUnavailable as fault:
            log.warning("the reply to %s could not be sent: %s", reply.message_id, fault)
