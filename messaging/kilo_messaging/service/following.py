"""Following topics: each follower gets every message that is kept behind its cursor, in order.

What was posted long ago and what is posted now are read from the store in the same way, so there is
no seam between the two at which a message could be lost or come twice. An announcement only says
that it is worth looking. One read serves all followers of a topic that are equally far.

A follower that has no room is left where it is and goes on from there when it has: nothing is kept
for it meanwhile but its cursor.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import Enum
from itertools import islice
from queue import SimpleQueue
from typing import Any

import msgspec

from kilo_common.errors import KiloError
from kilo_messaging.domain.cursor import BEGINNING, Cursor, epoch_of
from kilo_messaging.domain.message import Message
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.service.arrivals import Arrivals
from kilo_messaging.service.push import NOTIFICATION
from kilo_messaging.storage.base import MessageStore

log = logging.getLogger(__name__)
PAGE = 100
"""Messages read at once."""
WORKERS = 4
"""Reads under way at once."""
LOOK_AGAIN = 1.0
"""Seconds after which some topics are looked at whether anything was announced or not."""
LOOK_AT = 100
"""So many of them each time, in turn."""
Offer = Callable[[bytes, Cursor], bool]
"""Takes a frame and returns at once; False if there is no room for it now."""


class Follower:
    """Who follows one topic, and how far it is."""

    def __init__(self, key: TopicKey, cursor: Cursor, offer: Offer) -> None:
        self.key = key
        self.cursor = cursor
        self.offer = offer
        self.is_paused = True
        """Whether nothing is to be offered until `Following.resume`."""


class _Need(Enum):
    """Whether a topic is to be looked at."""

    NONE = "none"
    WAITS = "waits"
    UNDER_WAY = "under way"
    AGAIN = "again"
    """It is under way, and something has happened since it began."""


class _Trail:
    """A topic that is followed."""

    def __init__(self, key: TopicKey) -> None:
        self.key = key
        self.followers: set[Follower] = set()
        self.need = _Need.NONE


class Following:
    """Who follows what, and the threads that read for them."""

    def __init__(
        self, store: MessageStore, now: Callable[[], datetime], arrivals: Arrivals
    ) -> None:
        self._store = store
        self._now = now
        self._arrivals = arrivals
        self._lock = threading.Lock()  # never held while anything is waited for
        self._trails: dict[TopicKey, _Trail] = {}
        self._needed: SimpleQueue[_Trail | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin to read for the followers."""
        self._stopping.clear()
        for work in (self._look_again, *[self._work] * WORKERS):
            thread = threading.Thread(target=work, name="following", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, timeout: float) -> None:
        """Read no more."""
        self._stopping.set()
        for _ in range(WORKERS):
            self._needed.put(None)
        while self._threads:
            self._threads.pop().join(timeout)

    def place(self, key: TopicKey, *, at_end: bool) -> Cursor:
        """The cursor behind the newest message of the topic, or before its oldest.

        Raises:
            Unavailable: the store does not answer.
        """
        found = self._store.follow(key, None, 0, self._now())
        if found.began is None:
            return BEGINNING
        return Cursor(epoch_of(found.began), found.end if at_end else 0)

    def follow(self, key: TopicKey, cursor: Cursor, offer: Offer) -> Follower:
        """Offer, from the first `resume` on, what is in the topic behind the cursor.

        Where the topic has begun another life since, that is everything in it.
        """
        follower = Follower(key, cursor, offer)
        with self._lock:
            trail = self._trails.get(key)
            if trail is None:
                trail = self._trails[key] = _Trail(key)
                self._arrivals.watch(key, self._look_at)
            trail.followers.add(follower)
        return follower

    def resume(self, follower: Follower) -> None:
        """The follower has room; returns at once."""
        follower.is_paused = False
        self._look_at(follower.key)

    def unfollow(self, follower: Follower) -> None:
        """Offer it nothing more; one that does not follow any more is no error."""
        with self._lock:
            trail = self._trails.get(follower.key)
            if trail is None:
                return
            trail.followers.discard(follower)
            if not trail.followers:
                del self._trails[follower.key]
                self._arrivals.unwatch(follower.key, self._look_at)

    def _look_at(self, key: TopicKey) -> None:
        with self._lock:
            trail = self._trails.get(key)
            if trail is not None:
                self._need(trail)

    def _need(self, trail: _Trail) -> None:
        if trail.need is _Need.NONE:
            trail.need = _Need.WAITS
            self._needed.put(trail)
        elif trail.need is _Need.UNDER_WAY:
            trail.need = _Need.AGAIN

    def _look_again(self) -> None:
        """Notice in time what nobody announced, such as what another process could not."""
        last = 0
        while not self._stopping.wait(LOOK_AGAIN):
            with self._lock:
                for trail in islice(self._trails.values(), last, last + LOOK_AT):
                    self._need(trail)
                last = last + LOOK_AT if last + LOOK_AT < len(self._trails) else 0

    def _work(self) -> None:
        while (trail := self._needed.get()) is not None:
            with self._lock:
                trail.need = _Need.UNDER_WAY
                followers = [each for each in trail.followers if not each.is_paused]
            more = False
            try:
                more = self._serve(trail.key, followers)
            except KiloError as fault:
                log.warning("topic %s cannot be followed just now: %s", trail.key.name, fault)
            except Exception:  # a thread's edge: others must be served
                log.exception("topic %s cannot be followed just now", trail.key.name)
            with self._lock:
                again = more or trail.need is _Need.AGAIN
                trail.need = _Need.NONE
                if again:
                    self._need(trail)

    def _serve(self, key: TopicKey, followers: Sequence[Follower]) -> bool:
        """Offer each follower one page; whether there may be more."""
        waiting = set(followers)
        more = False
        while waiting:
            after = min(each.cursor.offset for each in waiting)
            found = self._store.follow(key, after, PAGE, self._now())
            if found.began is None:
                return False
            epoch = epoch_of(found.began)
            moved = [each for each in waiting if each.cursor.epoch != epoch]
            for each in moved:
                each.cursor = Cursor(epoch, 0)
            if moved and after:
                continue  # for them the topic begins before what was read
            full = len(found.messages) == PAGE
            last = found.messages[-1].position if full else None
            reached = {each for each in waiting if last is None or each.cursor.offset < last}
            frames = [(Cursor(epoch, each.position), each) for each in found.messages]
            _offer(reached, [(cursor, frame_of(key, each, cursor)) for cursor, each in frames])
            waiting -= reached
            more = more or full
        return more


def _offer(followers: set[Follower], frames: Sequence[tuple[Cursor, bytes]]) -> None:
    for follower in followers:
        try:
            _offer_to(follower, frames)
        except Exception:  # one follower's fault must not cost the others theirs
            log.exception("a follower could not be served")


def _offer_to(follower: Follower, frames: Sequence[tuple[Cursor, bytes]]) -> None:
    for cursor, frame in frames:
        if cursor.offset <= follower.cursor.offset:
            continue
        # Said before it is tried: who makes room meanwhile takes it back.
        follower.is_paused = True
        if not follower.offer(frame, cursor):
            return
        follower.is_paused = False
        follower.cursor = cursor


def frame_of(key: TopicKey, message: Message, cursor: Cursor) -> bytes:
    """What a follower receives, as JSON: a notification, with its id and its cursor."""
    frame: dict[str, Any] = {
        "body": msgspec.Raw(message.body),
        "ttl": message.ttl,
        "queue_name": key.name,
        "Message_Type": NOTIFICATION,
        "id": message.id,
        "cursor": str(cursor),
    }
    if message.group is not None:
        frame["group"] = message.group
    if message.attributes is not None:
        frame["attributes"] = msgspec.Raw(message.attributes)
    if message.priority:
        frame["priority"] = message.priority
    return msgspec.json.encode(frame)
