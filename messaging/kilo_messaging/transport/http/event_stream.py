"""A topic as a stream of events, for `curl -N` and a browser's EventSource.

The format is that of the HTML Living Standard, section 9.2 "Server-sent events". An event's id is
the cursor behind its message, and its data the same JSON that a WebSocket follower receives.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from kilo_common.clock import Clock
from kilo_common.context import RequestContext
from kilo_common.http.gateway import Environ, StartResponse, WSGIApplication
from kilo_messaging.domain.cursor import Cursor
from kilo_messaging.service.arrivals import Ending
from kilo_messaging.service.connection_subscriptions import place_of
from kilo_messaging.service.desk import Desk
from kilo_messaging.service.following import Follower, Following

EVENT_STREAM = "text/event-stream"
MOST_BYTES = 262144
"""What waits for a client that reads slowly; the rest it is offered again later."""
_LOOK_UP = 1.0
"""Seconds after which a stream looks whether it is to end."""
_RETRY = 1000
"""Milliseconds after which a client that was cut off comes back."""


@dataclass(frozen=True)
class StreamTimes:
    """In seconds."""

    pulse: float
    """After so much silence a comment is sent, for proxies and dead connections."""
    auth_interval: float
    """So often it is asked whether the client is still known."""


_SIGNATURE = "url-signature"
_SIGNED = frozenset({_SIGNATURE, "url-expires", "url-methods", "url-paths", "x-project-id"})


def with_signed_query(app: WSGIApplication) -> WSGIApplication:
    """`app`, for which a stream's signed URL may stand in its query.

    An EventSource can send no headers. Elsewhere they stay the only place: what is in a URL is
    written in logs.
    """

    def signed(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        query = environ.get("QUERY_STRING", "")
        if _SIGNATURE not in query.lower() or EVENT_STREAM not in environ.get("HTTP_ACCEPT", ""):
            return app(environ, start_response)
        pairs = parse_qsl(query, keep_blank_values=True)
        moved = {
            f"HTTP_{name.upper().replace('-', '_')}": text
            for name, text in pairs
            if name.lower() in _SIGNED
        }
        rest = urlencode([(name, text) for name, text in pairs if name.lower() not in _SIGNED])
        return app({**environ, **moved, "QUERY_STRING": rest}, start_response)

    return signed


class EventStreams:
    """Opens streams."""

    def __init__(self, desk: Desk, following: Following, clock: Clock, times: StreamTimes) -> None:
        self._desk = desk
        self._following = following
        self._clock = clock
        self._times = times

    def open(
        self,
        context: RequestContext,
        topic_name: str,
        start: str,
        ending: Ending,
        is_known: Callable[[], bool],
    ) -> "EventStream":
        """What is in the topic behind `start` (a cursor, or `start`, or `end`), and what comes.

        It ends when the server is `ending`, or when the client is not known any more.

        Raises:
            NameInvalid, CursorInvalid, PolicyForbids: it cannot be followed so.
        """
        key = self._desk.key(context, topic_name)
        cursor = place_of(self._desk, self._following, context, key, start)
        stream = EventStream(self._following, self._clock, self._times, ending, is_known)
        stream.begin(self._following.follow(key, cursor, stream.offer))
        return stream


class EventStream:
    """One client's stream: an iterable of pieces of text, to be closed in the end."""

    def __init__(
        self,
        following: Following,
        clock: Clock,
        times: StreamTimes,
        ending: Ending,
        is_known: Callable[[], bool],
    ) -> None:
        self._following = following
        self._clock = clock
        self._times = times
        self._ending = ending
        self._is_known = is_known
        self._events: deque[bytes] = deque()
        self._size = 0
        self._filled = threading.Event()
        self._follower: Follower | None = None

    def begin(self, follower: Follower) -> None:
        """From now on `follower` is this stream's."""
        self._follower = follower

    def offer(self, frame: bytes, cursor: Cursor) -> bool:
        """Take a frame, if there is room."""
        if self._size >= MOST_BYTES:
            return False
        event = as_event(frame, cursor)
        self._events.append(event)
        self._size += len(event)
        self._filled.set()
        return True

    def __iter__(self) -> Iterator[bytes]:
        assert self._follower is not None, "a stream begins with its follower"
        # Its id lets a client that is cut off before the first message come back to this place.
        yield f"retry: {_RETRY}\nid: {self._follower.cursor}\n\n".encode()
        self._following.resume(self._follower)
        said_at = known_at = self._clock.monotonic()
        while not self._ending():
            if self._clock.monotonic() - known_at >= self._times.auth_interval:
                if not self._is_known():
                    return
                known_at = self._clock.monotonic()
            if self._filled.wait(_LOOK_UP):
                yield self._take(self._follower)
                said_at = self._clock.monotonic()
            elif self._clock.monotonic() - said_at >= self._times.pulse:
                yield b":\n\n"
                said_at = self._clock.monotonic()

    def close(self) -> None:
        """The client is gone, or the server ends."""
        if self._follower is not None:
            self._following.unfollow(self._follower)

    def _take(self, follower: Follower) -> bytes:
        self._filled.clear()
        events = []
        while self._events:
            events.append(self._events.popleft())
        self._size = 0
        if follower.is_paused:
            self._following.resume(follower)
        return b"".join(events)


def as_event(frame: bytes, cursor: Cursor) -> bytes:
    """A frame of JSON as an event. Line breaks in it stand between its tokens, if anywhere."""
    lines = frame.replace(b"\r", b" ").split(b"\n")
    return b"id: %b\n%b\n\n" % (str(cursor).encode(), b"\n".join(b"data: " + x for x in lines))
