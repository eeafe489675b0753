"""The matchmaker of one process: a dictionary. Transports that share it find each other."""

import threading
from collections.abc import Mapping

from kilo_common.bus.zmq_transport.matchmaking.base import Matchmaker, Record
from kilo_common.clock import Clock, SystemClock


class MemoryMatchmaker(Matchmaker):
    """Kept until the process ends, whatever is closed."""

    def __init__(
        self, options: Mapping[str, str] | None = None, clock: Clock | None = None
    ) -> None:
        del options  # it has none
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._leases: dict[Record, float] = {}

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def register(self, record: Record, lease: float) -> None:
        with self._lock:
            self._leases[record] = self._clock.monotonic() + lease

    def renew(self, node: str, lease: float) -> bool:
        now = self._clock.monotonic()
        with self._lock:
            standing = [
                record
                for record, ends in self._leases.items()
                if record.node == node and ends > now
            ]
            for record in standing:
                self._leases[record] = now + lease
        return bool(standing)

    def remove(self, record: Record) -> None:
        with self._lock:
            self._leases.pop(record, None)

    def lookup(self, place: str) -> tuple[Record, ...]:
        now = self._clock.monotonic()
        with self._lock:
            self._leases = {record: ends for record, ends in self._leases.items() if ends > now}
            return tuple(record for record in self._leases if record.place == place)
