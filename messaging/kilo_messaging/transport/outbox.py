"""What waits to be sent on one connection: bounded, and filled without waiting.

What the socket takes at once goes out at once. Only where it does not, the rest waits in line, and
a writer is started that ends with the line: a connection with nothing to say costs no thread.

Two kinds of senders share it. Pushes are refused where it is full, and then the connection is in
trouble. Answers are made only while there is room (`wait_for_room`), so that whoever asks without
reading is not served any further, and what waits never grows beyond the bound by more than one
answer.
"""

import threading
from collections import deque
from collections.abc import Callable

TryToWrite = Callable[[bytes], int]
"""Writes what the socket takes without waiting, and returns how many bytes that were.

Raises:
    OSError: the connection is gone.
"""


class Outbox:
    """A line of byte strings between those who send and a socket."""

    def __init__(
        self,
        *,
        most: int,
        most_bytes: int,
        try_to_write: TryToWrite,
        start_writer: Callable[[], None],
    ) -> None:
        """Bounds on the frames and on the bytes that wait.

        The writer calls `take` until that returns None, and is started again when it is needed.
        """
        self._most = most
        self._most_bytes = most_bytes
        self._try_to_write = try_to_write
        self._start_writer = start_writer
        self._waiting: deque[bytes] = deque()
        self._frames = 0
        self._size = 0
        self._ended = False
        self._refused = False
        self._is_writing = False
        self._is_torn = False
        """Whether what waits begins with the rest of something that has begun to go out."""
        self._changed = threading.Condition(threading.Lock())

    def admits(self) -> bool:
        """Whether there is room for a frame that can wait; if not, `take` tells when there is."""
        with self._changed:
            if self._ended:
                return False
            self._refused = self._refused or not self.has_room
            return not self._refused

    def put(self, data: bytes, *, frames: int = 1, must: bool = False) -> bool:
        """Send it or put it in line; False if the line has ended or, but for `must`, is full."""
        with self._changed:
            if self._ended:
                return False
            rest = data if self._is_writing else self._write(data)
            if not rest:
                return not self._ended
            full = self._frames + frames > self._most or self._size + len(rest) > self._most_bytes
            begun = len(rest) < len(data)
            if full and not must and not begun:
                return False
            self._is_torn = self._is_torn or begun
            self._waiting.append(rest)
            self._frames += frames
            self._size += len(rest)
            begins, self._is_writing = not self._is_writing, True
        if begins:
            self._start_writer()
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
                self._waiting = deque([self._waiting[0]] if self._is_torn else [])
            rest = last if self._is_writing else self._write(last)
            self._ended = True
            begins = bool(rest) and not self._is_writing
            if rest:
                self._waiting.append(rest)
                self._is_writing = True
            self._changed.notify_all()
        if begins:
            self._start_writer()

    def wait_until_sent(self, seconds: float) -> None:
        """Return when there is no writer under way any more, or the time is up."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_writing, seconds)

    def take(self) -> tuple[bytes, bool] | None:
        """What is to be sent next, all of it at once; None where there is nothing any more.

        Also, whether there is room now for somebody who was refused.
        """
        with self._changed:
            if not self._waiting:
                self._is_writing = False
                self._changed.notify_all()
                return None
            data = b"".join(self._waiting)
            self._waiting.clear()
            self._size = self._frames = 0
            self._is_torn = False
            refused, self._refused = self._refused, False
            self._changed.notify_all()
            return data, refused

    def _write(self, data: bytes) -> bytes:
        """Send what goes at once; the rest. Where the connection is gone, the line ends."""
        try:
            return data[self._try_to_write(data) :] if data else b""
        except OSError:
            self._ended = True
            self._changed.notify_all()
            return b""
