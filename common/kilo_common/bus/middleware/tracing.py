"""Continues a trace (W3C Trace Context) through the bus, and tells the spans to whoever records."""

from collections.abc import Callable
from datetime import datetime

import msgspec

from kilo_common.bus.envelope import CONTEXT_PREFIX
from kilo_common.bus.middleware.base import Incoming, MessageKind, Middleware, Outgoing
from kilo_common.bus.verdict import Verdict
from kilo_common.clock import Clock
from kilo_common.context import continue_trace

_KEY = "traceparent"


class Span(msgspec.Struct, frozen=True):
    """One piece of work within a trace."""

    name: str
    """`publish METHOD` or `handle METHOD`; for notifications the event type."""
    traceparent: str
    """The span's own: `00-<trace id>-<span id>-<flags>`."""
    parent: str | None
    """That of the span it is part of; None where the trace begins."""
    began: datetime
    seconds: float
    error: str | None = None


Record = Callable[[Span], None]


class Tracing(Middleware):
    """Makes a span of each publish and of each handling.

    The `traceparent` of the envelope's context is replaced by that of the publish, so that the
    handling is its child; a context that has none begins a trace.
    """

    def __init__(self, record: Record, clock: Clock) -> None:
        """`record` gets each span when it has ended; it must not wait."""
        self._record = record
        self._clock = clock

    def before_publish(self, outgoing: Outgoing) -> None:
        if outgoing.kind is MessageKind.REPLY:
            return  # it has no context: its caller's span goes on
        parent = outgoing.message.get(CONTEXT_PREFIX + _KEY)
        own = continue_trace(parent)
        outgoing.message[CONTEXT_PREFIX + _KEY] = own
        outgoing.notes[self] = self._begin(f"publish {outgoing.name}", own, parent)

    def after_publish(self, outgoing: Outgoing, error: Exception | None) -> None:
        self._end(outgoing.notes.pop(self, None), error)

    def before_handle(self, incoming: Incoming) -> None:
        parent = incoming.content.context.get(_KEY)
        own = continue_trace(parent)
        incoming.notes[self] = self._begin(f"handle {incoming.name}", own, parent)

    def after_handle(self, incoming: Incoming, verdict: Verdict) -> None:
        del verdict
        self._end(incoming.notes.pop(self, None), None)

    def on_failure(self, incoming: Incoming, error: Exception) -> Verdict | None:
        self._end(incoming.notes.pop(self, None), error)
        return None

    def _begin(self, name: str, own: str, parent: object) -> tuple[Span, float]:
        same_trace = isinstance(parent, str) and parent[:36] == own[:36]
        known = parent if same_trace and isinstance(parent, str) else None
        return Span(name, own, known, self._clock.now(), 0.0), self._clock.monotonic()

    def _end(self, begun: tuple[Span, float] | None, error: Exception | None) -> None:
        if begun is None:
            return
        span, began = begun
        self._record(
            msgspec.structs.replace(
                span,
                seconds=self._clock.monotonic() - began,
                error=None if error is None else f"{type(error).__name__}: {error}",
            )
        )
