"""A line in the log for each message, and how long the work on it took."""

import logging
import time

from kilo_common.bus.middleware.base import Incoming, Middleware, Outgoing
from kilo_common.bus.verdict import Verdict


class LogMessages(Middleware):
    """Logs names, ids and times; never arguments or payloads, which may hold secrets."""

    def __init__(self, logger: logging.Logger | None = None, level: int = logging.INFO) -> None:
        self._log = logger or logging.getLogger("kilo_common.bus.messages")
        self._level = level

    def after_publish(self, outgoing: Outgoing, error: Exception | None) -> None:
        kind, name, where = outgoing.kind.value, outgoing.name, outgoing.address.name
        if error is None:
            self._log.log(self._level, "sent %s %s to %s", kind, name, where)
        else:
            self._log.warning("%s %s to %s was not sent: %s", kind, name, where, error)

    def before_handle(self, incoming: Incoming) -> None:
        incoming.notes[self] = time.perf_counter()

    def after_handle(self, incoming: Incoming, verdict: Verdict) -> None:
        self._end(incoming, verdict.outcome.value)

    def on_failure(self, incoming: Incoming, error: Exception) -> Verdict | None:
        self._end(incoming, f"failed with {type(error).__name__}")
        return None

    def _end(self, incoming: Incoming, outcome: str) -> None:
        now = time.perf_counter()
        self._log.log(
            self._level,
            "%s %s (%s%s) %s after %.1f ms",
            incoming.kind.value,
            incoming.name,
            incoming.identity,
            ", redelivered" if incoming.redelivered else "",
            outcome,
            (now - incoming.notes.pop(self, now)) * 1000,
        )
