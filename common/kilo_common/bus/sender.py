"""Publishes envelopes: through the middleware, with retries."""

import time
from collections.abc import Sequence

from kilo_common.bus.envelope import Message, wrap
from kilo_common.bus.middleware.base import Chain, MessageKind, Middleware, Outgoing
from kilo_common.bus.retry import ONCE, RetryPolicy
from kilo_common.bus.target import Address
from kilo_common.bus.transport import Transport


class Sender:
    """One way out of the process, shared by whoever has the same middleware."""

    def __init__(self, transport: Transport, middleware: Sequence[Middleware] = ()) -> None:
        self._transport = transport
        self._chain = Chain(middleware)

    def send(
        self,
        kind: MessageKind,
        name: str,
        address: Address,
        message: Message,
        *,
        timeout: float,
        ttl: float | None = None,
        mandatory: bool = False,
        retry: RetryPolicy = ONCE,
    ) -> None:
        """Publish `message`; each attempt has `timeout` seconds, and those of a message with a
        `ttl` that time together. Notifications may be repeated, all else may not.

        Raises:
            NoRoute, BusUnavailable: as `Transport.publish`.
        """
        if retry is ONCE and not self._chain.publishes:
            self._transport.publish(
                address, wrap(message), ttl=ttl, mandatory=mandatory, timeout=timeout
            )
            return
        outgoing = Outgoing(kind, name, address, message)
        deadline = None if ttl is None else time.monotonic() + ttl

        def publish() -> None:
            patience, left = timeout, ttl
            if deadline is not None:
                left = max(0.001, deadline - time.monotonic())
                patience = min(timeout, left)
            self._transport.publish(
                address,
                wrap(message),
                ttl=left,
                mandatory=mandatory,
                timeout=patience,
                headers=outgoing.headers,
            )

        repeatable = kind is MessageKind.NOTIFICATION
        self._chain.publish(
            outgoing, lambda: retry.run(publish, deadline=deadline, repeatable=repeatable)
        )
