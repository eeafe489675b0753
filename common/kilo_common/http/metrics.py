"""Counters and timings of an HTTP service, in Prometheus' text form under `/metrics`."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)


class HttpMetrics:
    """What one service counts about its requests, and the registry for what else it counts."""

    def __init__(self, service: str) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "kilo_http_requests", "Requests answered.", ("method", "status"), registry=registry
        )
        self._seconds = Histogram(
            "kilo_http_request_seconds",
            "Seconds from the first byte read to the last byte handed over.",
            registry=registry,
            buckets=_BUCKETS,
        )
        self._open = Gauge("kilo_http_requests_open", "Requests in progress.", registry=registry)
        Gauge("kilo_info", "What runs here.", ("service",), registry=registry).labels(service).set(
            1
        )

    def begin(self) -> None:
        """A request came in."""
        self._open.inc()

    def end(self, method: str, status: int, seconds: float) -> None:
        """A request was answered. `method` must be one of the known ones: labels are bounded."""
        self._open.dec()
        self._requests.labels(method, str(status)).inc()
        self._seconds.observe(seconds)

    def render(self) -> bytes:
        """Everything in the registry, as text."""
        return generate_latest(self.registry)
