"""What waits to be sent on one connection: bounded, and filled without ever waiting."""

import threading
from collections import deque


class Outbox:
    """A line of byte strings between those who send and the one who writes to the socket."""

    def __init__(self, *, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._changed = threading.Condition()

    def put(self, data: bytes) -> bool:
        """Put `data` in line; False if the line is full or has ended, and it is not sent."""
        with self._changed:
            if self._ended:
                return False
            if len(self._waiting) >= self._most or self._size + len(data) > self._most_bytes:
                return False
            self._waiting.append(data)
            self._size += len(data)
            self._changed.notify()
            return True

    def end(self, last: bytes = b"", *, drop: bool = False) -> None:
        """Take nothing more after `last`; with `drop`, what still waits is not sent either."""
        with self._changed:
            if self._ended:
                return
            if drop:
                self._waiting.clear()
            if last:
                self._waiting.append(last)
            self._ended = True
            self._changed.notify()

    def take(self) -> bytes | None:
        """Wait for what is to be sent next, all of it at once; None at the end of the line."""
        with self._changed:
            while not self._waiting and not self._ended:
                self._changed.wait()
            if not self._waiting:
                return None
            data = b"".join(self._waiting)
            self._waiting.clear()
            self._size = 0
            return data
