"""Counters and timings of an HTTP service, in Prometheus' text form under `/metrics`."""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
_NAMES = (*(str(bound) for bound in _BUCKETS), "+Inf")


class HttpMetrics:
    """What one service counts about its requests, and the registry for what else it counts."""

    def __init__(self, service: str) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = _Requests()
        registry.register(self._requests)
        Gauge("kilo_info", "What runs here.", ("service",), registry=registry).labels(service).set(
            1
        )

    def begin(self) -> None:
        """A request came in."""
        self._requests.begin()

    def end(self, method: str, status: int, seconds: float) -> None:
        """A request was answered. `method` must be one of the known ones: labels are bounded."""
        self._requests.end(method, status, seconds)

    def render(self) -> bytes:
        """Everything in the registry, as text."""
        return generate_latest(self.registry)


class _Requests(Collector):
    """Counts under one lock, and makes Prometheus' values only when they are asked for.

    Each request counts in five places; a lock and an object for each would cost it 10 µs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = 0
        self._seconds = 0.0
        self._answered: Counter[tuple[str, int]] = Counter()
        self._within = [0] * len(_NAMES)

    def begin(self) -> None:
        with self._lock:
            self._open += 1

    def end(self, method: str, status: int, seconds: float) -> None:
        bucket = bisect_left(_BUCKETS, seconds)
        with self._lock:
            self._open -= 1
            self._seconds += seconds
            self._answered[method, status] += 1
            self._within[bucket] += 1

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            unfinished, seconds = self._open, self._seconds
            answered, within = dict(self._answered), list(self._within)
        requests = CounterMetricFamily(
            "kilo_http_requests", "Requests answered.", labels=("method", "status")
        )
        for (method, status), count in sorted(answered.items()):
            requests.add_metric((method, str(status)), count)
        yield requests
        totals = [sum(within[: number + 1]) for number in range(len(within))]
        yield HistogramMetricFamily(
            "kilo_http_request_seconds",
            "Seconds from the first byte read to the last byte handed over.",
            buckets=list(zip(_NAMES, totals, strict=True)),
            sum_value=seconds,
        )
        yield GaugeMetricFamily(
            "kilo_http_requests_open", "Requests in progress.", value=unfinished
        )
