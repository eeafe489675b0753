"""Counts and times what goes through the bus, for Prometheus."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from kilo_common.bus.middleware.base import Incoming, Middleware, Outgoing
from kilo_common.bus.verdict import Verdict

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)


class Metrics(Middleware):
    """`kilo_bus_…`, by the kind of message. Names of methods and events are no labels: whoever
    sends chooses them, and labels must be few."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """One for each registry: names in it are unique."""
        self._published = Counter(
            "kilo_bus_published", "Messages published.", ("kind", "result"), registry=registry
        )
        self._handled = Counter(
            "kilo_bus_handled", "Messages worked on.", ("kind", "result"), registry=registry
        )
        self._seconds = Histogram(
            "kilo_bus_handle_seconds",
            "Seconds that the work on a message took.",
            ("kind",),
            registry=registry,
            buckets=_BUCKETS,
        )
        self._in_hand = Gauge(
            "kilo_bus_in_hand", "Messages being worked on.", ("kind",), registry=registry
        )

    def after_publish(self, outgoing: Outgoing, error: Exception | None) -> None:
        self._published.labels(outgoing.kind.value, "failed" if error else "done").inc()

    def before_handle(self, incoming: Incoming) -> None:
        self._in_hand.labels(incoming.kind.value).inc()
        incoming.notes[self] = time.perf_counter()

    def after_handle(self, incoming: Incoming, verdict: Verdict) -> None:
        self._end(incoming, verdict.outcome.value)

    def on_failure(self, incoming: Incoming, error: Exception) -> Verdict | None:
        del error
        self._end(incoming, "failed")
        return None

    def _end(self, incoming: Incoming, result: str) -> None:
        began = incoming.notes.pop(self, None)
        kind = incoming.kind.value
        if began is not None:  # a middleware before this one may have refused the message
            self._in_hand.labels(kind).dec()
            self._seconds.labels(kind).observe(time.perf_counter() - began)
        self._handled.labels(kind, result).inc()
