"""Calls methods of servers on the bus: call and wait, cast and go on, fanout to all."""

import copy
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, TypedDict, Unpack

from kilo_common.bus.envelope import Request
from kilo_common.bus.errors import CallAborted, CallTimeout, TargetInvalid, VersionTooNew
from kilo_common.bus.middleware.base import MessageKind, Middleware
from kilo_common.bus.remote import codes, load_failure
from kilo_common.bus.replies import ReplyInbox
from kilo_common.bus.retry import ONCE, RetryPolicy
from kilo_common.bus.sender import Sender
from kilo_common.bus.serializer import JsonSerializer, Serializer
from kilo_common.bus.target import Target, accepts
from kilo_common.bus.transport import Transport
from kilo_common.context import RequestContext
from kilo_common.ids import HexIds, IdSource

Context = RequestContext | Mapping[str, Any]
_NO_ARGS: Mapping[str, Any] = {}


class Changes(TypedDict, total=False):
    """What `RpcClient.prepare` can change."""

    exchange: str
    topic: str
    namespace: str | None
    version: str
    server: str | None
    fanout: bool
    timeout: float
    call_monitor_timeout: float | None
    retry: RetryPolicy
    version_cap: str | None


@dataclass(frozen=True)
class _Options:
    timeout: float
    call_monitor_timeout: float | None
    retry: RetryPolicy
    version_cap: str | None


_TARGET_FIELDS = frozenset({"exchange", "topic", "namespace", "version", "server", "fanout"})


class RpcClient:
    """A caller of one target. Its reply queue is made at the first call."""

    def __init__(
        self,
        transport: Transport,
        target: Target,
        *,
        new_id: IdSource,
        timeout: float = 60.0,
        call_monitor_timeout: float | None = None,
        retry: RetryPolicy = ONCE,
        version_cap: str | None = None,
        errors: Iterable[type[Exception]] = (),
        serializer: Serializer | None = None,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        """`timeout` bounds a call, the publishing included. With `call_monitor_timeout` the server
        says about every half of it that it is at work, and a call ends early when it does not.
        `errors` are the types that are raised as themselves when a server answers with them.
        """
        self._target = target
        self._address = target.address
        self._options = _Options(timeout, call_monitor_timeout, retry, version_cap)
        self._errors = codes(errors)
        self._serializer = serializer or JsonSerializer()
        self._sender = Sender(transport, middleware)
        self._ids = HexIds(new_id)
        self._inbox = ReplyInbox(transport, f"reply_{new_id().replace('-', '')}")

    @property
    def target(self) -> Target:
        """Whom this client talks to."""
        return self._target

    def prepare(self, **changes: Unpack[Changes]) -> "RpcClient":
        """This client with other settings; it shares the reply queue, and stops with it."""
        other = copy.copy(self)
        aimed: dict[str, Any] = {k: v for k, v in changes.items() if k in _TARGET_FIELDS}
        set_: dict[str, Any] = {k: v for k, v in changes.items() if k not in _TARGET_FIELDS}
        other._target = self._target.with_(**aimed)
        other._address = other._target.address
        other._options = replace(self._options, **set_)
        return other

    def can_send_version(self, version: str | None = None) -> bool:
        """Whether the version cap lets a message of `version` (default: the target's) out."""
        cap = self._options.version_cap
        return cap is None or accepts(cap, version or self._target.version)

    def call(
        self,
        context: Context,
        method: str,
        args: Mapping[str, Any] = _NO_ARGS,
        /,
        *,
        timeout: float | None = None,
        **more: Any,
    ) -> Any:
        """Run `method` at one server and return its result. Arguments are given by keyword; those
        named like a parameter of ours go into `args`.

        Raises:
            CallTimeout: no answer in time; `may_have_run` tells whether the method may have run.
            CallAborted: the client was stopped meanwhile.
            NoRoute: nobody serves the target (drivers that can tell).
            BusUnavailable: the request could not be handed to the broker.
            TargetInvalid, VersionTooNew: the client may not send this; nothing was sent.
            RemoteError, or a registered type: what the method raised.
        """
        if self._target.fanout:
            raise TargetInvalid("A call waits for one answer: it cannot go to all servers")
        patience = self._options.timeout if timeout is None else timeout
        deadline = time.monotonic() + patience
        message_id = self._ids()
        request = self._request(context, method, args, more, message_id)
        self._inbox.open(patience)
        waiting = self._inbox.expect(message_id)
        try:
            left = deadline - time.monotonic()
            self._send(MessageKind.CALL, request, timeout=left, ttl=left, mandatory=True)
            reply = waiting.answer(deadline, request.monitor)
        except CallAborted:
            raise
        except CallTimeout as fault:
            self._timed_out(method, patience, fault)
        finally:
            self._inbox.forget(message_id)
        if reply.failure is not None:
            raise load_failure(reply.failure, self._errors)
        return self._serializer.load(reply.result)

    def cast(
        self, context: Context, method: str, args: Mapping[str, Any] = _NO_ARGS, /, **more: Any
    ) -> None:
        """Ask one server, or with a fanout target all, to run `method`; return when the broker has
        the request.

        Raises:
            BusUnavailable: the request could not be handed to the broker.
            VersionTooNew: the client may not send this; nothing was sent.
        """
        kind = MessageKind.FANOUT if self._target.fanout else MessageKind.CAST
        self._send(kind, self._request(context, method, args, more), timeout=self._options.timeout)

    def fanout(
        self, context: Context, method: str, args: Mapping[str, Any] = _NO_ARGS, /, **more: Any
    ) -> None:
        """Ask every server of the topic to run `method`. Raises as `cast`."""
        self.prepare(fanout=True).cast(context, method, args, **more)

    def stop(self, timeout: float) -> None:
        """Let go of the reply queue; calls that wait fail at once, and no more can be made."""
        del timeout  # there is nothing to wait for
        self._inbox.close()

    def _request(
        self,
        context: Context,
        method: str,
        args: Mapping[str, Any],
        more: Mapping[str, Any],
        message_id: str | None = None,
    ) -> Request:
        target, options, dump = self._target, self._options, self._serializer.dump
        if not self.can_send_version():
            raise VersionTooNew(
                f"{method} needs version {target.version} of {target.topic}, and this client is "
                f"told to send nothing newer than {options.version_cap}",
                version=target.version,
                version_cap=options.version_cap,
            )
        return Request(
            method=method,
            args={name: dump(value) for name, value in {**args, **more}.items()},
            context=self._serializer.dump_context(context),
            namespace=target.namespace,
            version=target.version,
            message_id=message_id,
            reply_to=self._inbox.name if message_id else None,
            unique_id=self._ids(),
            monitor=options.call_monitor_timeout if message_id else None,
        )

    def _send(
        self,
        kind: MessageKind,
        request: Request,
        *,
        timeout: float,
        ttl: float | None = None,
        mandatory: bool = False,
    ) -> None:
        self._sender.send(
            kind,
            request.method,
            self._address,
            request.to_message(),
            timeout=timeout,
            ttl=ttl,
            mandatory=mandatory,
            retry=self._options.retry,
        )

    def _timed_out(self, method: str, patience: float, fault: CallTimeout) -> NoReturn:
        topic = self._target.topic
        if fault.details.get("silent"):
            silence = self._options.call_monitor_timeout
            what = f"was not heard of for {silence:g} s while it worked on {method}"
        else:
            what = f"did not answer {method} within {patience:g} s"
        raise CallTimeout(
            f"{topic} {what}; the method may have run",
            method=method,
            timeout=patience,
            may_have_run=True,
        ) from None
