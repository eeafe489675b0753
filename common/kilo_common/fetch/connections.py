"""Connections to checked addresses: made, kept for a while, and closed."""

import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from kilo_common.errors import ConfigInvalid
from kilo_common.fetch.errors import FetchFailed
from kilo_common.fetch.guard import Guard, Target, read_address
from kilo_common.fetch.policy import FetchPolicy
from kilo_common.fetch.sockets import TimedSocket, dial

Resolver = Callable[[str, int], Sequence[str]]
Origin = tuple[str, str, int]
LONGEST_REST = 4.0
"""Seconds that a connection is kept unused: less than what servers commonly wait. A name that has
moved is therefore asked for anew before long."""


class Connections:
    """Used by any number of threads."""

    def __init__(
        self,
        policy: FetchPolicy,
        guard: Guard,
        executor: Executor | None,
        resolve: Resolver | None,
        keep: int,
    ) -> None:
        """`keep`: how many unused connections there may be.

        Raises:
            ConfigInvalid: there are no certificates.
        """
        self._policy = policy
        self._guard = guard
        self._executor = executor
        self._resolve = resolve or _resolve
        self._most = keep
        self._lock = threading.Lock()
        self._unused: deque[tuple[float, Origin, TimedSocket]] = deque()
        """With the moment since when; the one that has rested longest first."""
        try:
            self._tls = ssl.create_default_context(cafile=policy.ca_file or None)
        except OSError as fault:
            raise ConfigInvalid(f"ca_file: {policy.ca_file}: {fault}", key="ca_file") from None

    def kept(self, target: Target, deadline: float) -> TimedSocket | None:
        """A connection to the same server that was kept, or None."""
        if not self._most:
            return None
        found: TimedSocket | None = None
        with self._lock:
            old = self._take_old()
            for index in range(len(self._unused) - 1, -1, -1):
                if self._unused[index][1] == target.origin:
                    found = self._unused[index][2]
                    del self._unused[index]
                    break
        for each in old:
            each.shut()
        if found is not None:
            found.renew(deadline)
        return found

    def keep(self, target: Target, connection: TimedSocket) -> None:
        """Keep it for the next request, or close it where enough are kept."""
        with self._lock:
            old = self._take_old()
            room = len(self._unused) < self._most
            if room:
                self._unused.append((time.monotonic(), target.origin, connection))
        for each in old if room else [*old, connection]:
            each.shut()

    def close(self) -> None:
        """Close what is kept."""
        with self._lock:
            unused, self._unused = self._unused, deque()
        for _since, _origin, connection in unused:
            connection.shut()

    def open(self, target: Target, deadline: float) -> TimedSocket:
        """A new connection.

        Raises:
            FetchRefused: one of the target's addresses is not allowed.
            FetchFailed: none of them takes the connection.
        """
        policy = self._policy
        fault: Exception = OSError("it has no address")
        for address in self._addresses(target):
            try:
                connection = dial(
                    address, target.port, policy.connect_timeout, policy.read_timeout, deadline
                )
            except OSError as refused:
                fault = refused
                continue
            try:
                if target.scheme == "https":
                    connection.secure(self._tls, target.host)
            except (OSError, ValueError) as refused:  # ssl.SSLError is an OSError
                connection.shut()
                fault = refused
                continue
            return connection
        raise FetchFailed(f"{target.host} cannot be reached: {reason(fault)}") from fault

    def _take_old(self) -> list[TimedSocket]:
        oldest = time.monotonic() - LONGEST_REST
        old: list[TimedSocket] = []
        while self._unused and self._unused[0][0] < oldest:
            old.append(self._unused.popleft()[2])
        return old

    def _addresses(self, target: Target) -> Sequence[str]:
        """The target's addresses, all of them allowed."""
        if target.address is not None:
            return (str(target.address),)
        try:
            if self._executor is None:
                found = self._resolve(target.host, target.port)
            else:
                task = self._executor.submit(self._resolve, target.host, target.port)
                found = task.result(timeout=self._policy.connect_timeout)
        except (OSError, UnicodeError) as fault:
            raise FetchFailed(f"{target.host} has no address: {reason(fault)}") from fault
        for address in found:
            # One forbidden address among several is no accident: none of them is used.
            self._guard.check_address(read_address(address))
        return found


def reason(fault: BaseException) -> str:
    """What a fault says, in words that are never empty."""
    return str(fault) or type(fault).__name__


def _resolve(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(each[4][0]) for each in found))
