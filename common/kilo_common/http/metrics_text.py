"""What an HTTP service counted, as Prometheus reads it."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from kilo_common.http.metrics import BUCKETS, Counts

_NAMES = (*(str(bound) for bound in BUCKETS), "+Inf")


def as_text(counts: Counts) -> bytes:
    """The text that `/metrics` answers with."""
    registry = CollectorRegistry()
    registry.register(_Requests(counts))
    return generate_latest(registry)


class _Requests(Collector):
    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        counts = self._counts
        runs = GaugeMetricFamily("kilo_info", "What runs here.", labels=("service",))
        runs.add_metric((counts.service,), 1)
        yield runs
        requests = CounterMetricFamily(
            "kilo_http_requests", "Requests answered.", labels=("method", "status")
        )
        for (method, status), count in sorted(counts.answered.items()):
            requests.add_metric((method, str(status)), count)
        yield requests
        totals = [sum(counts.within[: number + 1]) for number in range(len(counts.within))]
        yield HistogramMetricFamily(
            "kilo_http_request_seconds",
            "Seconds from the first byte read to the last byte handed over.",
            buckets=list(zip(_NAMES, totals, strict=True)),
            sum_value=counts.seconds,
        )
        yield GaugeMetricFamily(
            "kilo_http_requests_open", "Requests in progress.", value=counts.unfinished
        )
