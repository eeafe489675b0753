"""What waits to be sent on one connection: bounded, and filled without waiting.

Two kinds of senders share it. Pushes are refused where it is full, and then the connection is in
trouble. Answers are made only while there is room (`wait_for_room`), so that whoever asks without
reading is not served any further, and what waits never grows beyond the bound by more than one
answer.
"""

import threading
from collections import deque


class Outbox:
    """A line of byte strings between those who send and the one who writes to the socket."""

    def __init__(self, *, most: int, most_bytes: int) -> None:
        """Bounds on the frames and on the bytes that wait."""
        self._most = most
        self._most_bytes = most_bytes
        self._waiting: deque[bytes] = deque()
        self._frames = 0
        self._size = 0
        self._ended = False
        self._refused = False
        self._changed = threading.Condition()

    def admits(self) -> bool:
        """Whether there is room for a frame that can wait; if not, `take` tells when there is."""
        with self._changed:
            if self._ended:
                return False
            self._refused = self._refused or not self.has_room
            return not self._refused

    def put(self, data: bytes, *, frames: int = 1, must: bool = False) -> bool:
        """Put `data` in line; False if the line has ended or, but for `must`, is full."""
        with self._changed:
            if self._ended:
                return False
            full = self._frames + frames > self._most or self._size + len(data) > self._most_bytes
            if full and not must:
                return False
            self._waiting.append(data)
            self._frames += frames
            self._size += len(data)
            self._changed.notify_all()
            return True

    @property
    def has_room(self) -> bool:
        """Whether less than half of the line is taken."""
        return self._frames * 2 < self._most and self._size * 2 < self._most_bytes

    def wait_for_room(self, seconds: float) -> bool:
        """Return when half of the line is free or it has ended; False if that takes longer."""
        if self.has_room:
            return True
        with self._changed:
            return self._changed.wait_for(lambda: self._ended or self.has_room, seconds)

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
            self._changed.notify_all()

    def take(self) -> tuple[bytes, bool] | None:
        """Wait for what is to be sent next, all of it at once; None at the end of the line.

        Also, whether there is room now for somebody who was refused.
        """
        with self._changed:
            while not self._waiting and not self._ended:
                self._changed.wait()
            if not self._waiting:
                return None
            data = b"".join(self._waiting)
            self._waiting.clear()
            self._size = self._frames = 0
            refused, self._refused = self._refused, False
            self._changed.notify_all()
            return data, refused
