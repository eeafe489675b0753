"""A message that fails again and again ends among the dead letters, with its reason."""

import threading
from collections import OrderedDict

from kilo_common.bus.middleware.base import Incoming, MessageKind, Middleware
from kilo_common.bus.verdict import REQUEUE, Verdict, reject

_BROKERS_COUNT = "x-delivery-count"
"""How often a quorum queue gave a message out before: known even if that ended the process."""


class DeadLetter(Middleware):
    """Rejects a notification or a cast after `attempts` failures; until then it comes again.

    Failures are counted by the message's id, for the last `remembered` messages that failed, in
    this process, and by the broker where it counts. A call is left alone: its caller has the error.
    """

    def __init__(self, attempts: int = 5, *, remembered: int = 10_000) -> None:
        self._attempts = attempts
        self._remembered = remembered
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, int] = OrderedDict()

    def on_failure(self, incoming: Incoming, error: Exception) -> Verdict | None:
        if incoming.kind is MessageKind.CALL:
            return None
        failures = max(self._count(incoming), _counted_by_broker(incoming))
        if failures < self._attempts:
            return REQUEUE
        if incoming.together == 1:  # otherwise it has one more chance, alone
            with self._lock:
                self._failures.pop(incoming.identity, None)
        return reject(f"failed {failures} times; at last: {type(error).__name__}: {error}")

    def after_handle(self, incoming: Incoming, verdict: Verdict) -> None:
        del verdict
        if self._failures:
            with self._lock:
                self._failures.pop(incoming.identity, None)

    def _count(self, incoming: Incoming) -> int:
        identity = incoming.identity
        if not identity:
            # It cannot be told apart: the mark of a redelivery is all there is to go by.
            return self._attempts if incoming.redelivered else 1
        with self._lock:
            failures = self._failures.pop(identity, 0) + 1
            self._failures[identity] = failures
            while len(self._failures) > self._remembered:
                self._failures.popitem(last=False)
            return failures


def _counted_by_broker(incoming: Incoming) -> int:
    text = incoming.headers.get(_BROKERS_COUNT, "")
    return int(text) + 1 if text.isdigit() else 0
