"""Long-running parts: how they start, how they stop, in which order."""

import logging
import time
from collections.abc import Iterable
from typing import Protocol

log = logging.getLogger(__name__)


class Service(Protocol):
    """A part that runs beside the requests: a server, a listener, a relay."""

    def start(self) -> None:
        """Begin to work and return at once. Raises what prevents it; then nothing runs."""
        ...

    def stop(self, timeout: float) -> None:
        """Finish what is in hand, at most `timeout` seconds, and return. Never raises twice."""
        ...


class ServiceGroup:
    """Several services as one: started in order, stopped in the reverse order."""

    def __init__(self, services: Iterable[Service]) -> None:
        self._services = tuple(services)
        self._started: list[Service] = []

    def start(self) -> None:
        """Start all. If one fails, those before it are stopped again and its error is raised."""
        for service in self._services:
            try:
                service.start()
            except BaseException:
                self.stop(5.0)
                raise
            self._started.append(service)

    def stop(self, timeout: float) -> None:
        """Stop all that were started, within `timeout` seconds together; a failure is logged."""
        deadline = time.monotonic() + timeout
        while self._started:
            service = self._started.pop()
            try:
                service.stop(max(0.0, deadline - time.monotonic()))
            except Exception:
                log.exception("stopping %r failed", service)
