"""Counters and timings of an HTTP service, in Prometheus' text form under `/metrics`."""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""Seconds within which requests are counted."""


class Counts(msgspec.Struct, frozen=True):
    """What was counted so far."""

    service: str
    unfinished: int
    seconds: float
    """Of all requests together."""
    answered: Mapping[tuple[str, int], int]
    """How many, by method and status."""
    within: Sequence[int]
    """How many took no longer than the bucket of the same place, but longer than the one before;
    the last: longer than any."""


class HttpMetrics:
    """What one service counts about its requests.

    Each request counts in five places, under one lock; Prometheus' values are made only when they
    are asked for: a lock and an object for each would cost a request 10 µs.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._open = 0
        self._seconds = 0.0
        self._answered: Counter[tuple[str, int]] = Counter()
        self._within = [0] * (len(BUCKETS) + 1)

    def begin(self) -> None:
        """A request came in."""
        with self._lock:
            self._open += 1

    def end(self, method: str, status: int, seconds: float) -> None:
        """A request was answered. `method` must be one of the known ones: labels are bounded."""
        bucket = bisect_left(BUCKETS, seconds)
        with self._lock:
            self._open -= 1
            self._seconds += seconds
            self._answered[method, status] += 1
            self._within[bucket] += 1

    def counts(self) -> Counts:
        """What was counted so far."""
        with self._lock:
            return Counts(
                self._service, self._open, self._seconds, dict(self._answered), tuple(self._within)
            )

    def render(self) -> bytes:
        """Everything as text."""
        # Prometheus' client takes long to import, and few ask for this.
        from kilo_common.http.metrics_text import as_text  # noqa: PLC0415

        return as_text(self.counts())
