"""Consuming and working as one thing that starts and stops: what servers and listeners share."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from kilo_common.bus.executors import Executor
from kilo_common.bus.target import Address
from kilo_common.bus.transport import Consumer, Transport


@dataclass(frozen=True)
class Source:
    """A queue to consume, in the name of a group."""

    address: Address
    group: str = ""


class Serving:
    """Gives the messages of several sources to one executor."""

    def __init__(
        self, transport: Transport, sources: Sequence[Source], executor: Executor, prefetch: int
    ) -> None:
        self._transport = transport
        self._sources = tuple(sources)
        self._executor = executor
        self._prefetch = prefetch
        self._consumers: list[Consumer] = []

    def start(self) -> None:
        """Begin to consume.

        Raises:
            BusUnavailable: the broker cannot be reached; nothing is left running.
        """
        self._executor.start()
        try:
            for source in self._sources:
                consumer = self._transport.consume(
                    source.address,
                    self._executor.submit,
                    group=source.group,
                    prefetch=self._prefetch,
                )
                self._consumers.append(consumer)
        except BaseException:
            self.stop(1.0)  # the workers have nothing to do: they end at once
            raise

    def stop(self, timeout: float) -> None:
        """Take no more and finish what is in hand. What is not finished within `timeout` seconds
        is not acknowledged: it comes again, here or elsewhere."""
        deadline = time.monotonic() + timeout
        while self._consumers:
            self._consumers.pop().cancel()
        self._executor.stop(max(0.0, deadline - time.monotonic()))

    def run(self) -> None:
        """Start, and return when somebody calls `stop`. Raises as `start`."""
        self.start()
        self._executor.run()
