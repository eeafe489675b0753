"""Requests of one connection, as they come in: what is done together, and what waits aside.

The order that a client can rely on: requests take effect in the order in which they were sent, and
are answered in it. Two things are done about time all the same. Posts that follow one another
share one commit. And a claim or a list that is to wait, and finds nothing when its turn comes,
steps aside if it has a `request_id`: the requests behind it go on, and its answer comes when there
is something or its time is up. Without a `request_id` the answers could not be told apart, so those
behind it wait too.
"""

import threading
from collections.abc import Callable, Iterator, Sequence

import msgspec

from kilo_messaging.protocol.connection import Connection, Turn
from kilo_messaging.protocol.core import WouldWait
from kilo_messaging.protocol.session import Form


class Reply(msgspec.Struct, frozen=True):
    """A frame for the client."""

    frame: bytes
    form: Form


class Later(msgspec.Struct, frozen=True):
    """A request that waits for something."""

    finish: Callable[[], Reply]
    """Waits and returns the answer; to be called once, beside everything else."""


class Pipeline:
    """Does what the frames of one connection ask for."""

    def __init__(self, connection: Connection, *, most_waiting: int) -> None:
        """At most so many requests wait aside; with one more, those behind it wait too."""
        self._connection = connection
        self._most_waiting = most_waiting
        self._waiting = 0
        self._counting = threading.Lock()

    def take(self, frames: Sequence[tuple[bytes, Form]]) -> Iterator[list[Reply] | Later]:
        """Do what these frames ask for, in their order, as far as the iterator is followed."""
        together: list[Turn] = []
        for frame, form in frames:
            turn = self._connection.begin(frame, form)
            if together and turn.together is not together[0].together:
                yield self._all(together)
                together = []
            if turn.together is not None:
                together.append(turn)
            else:
                yield self._one(turn)
        if together:
            yield self._all(together)

    def _all(self, turns: list[Turn]) -> list[Reply]:
        action = turns[0].together
        assert action is not None
        answers = self._connection.run_all(action, turns)
        return [Reply(answer, turn.form) for answer, turn in zip(answers, turns, strict=True)]

    def _one(self, turn: Turn) -> list[Reply] | Later:
        may_step_aside = (
            turn.request is not None
            and turn.request.request_id is not None
            and self._waiting < self._most_waiting
        )
        try:
            return [Reply(self._connection.run(turn, waits=not may_step_aside), turn.form)]
        except WouldWait:
            self._count(1)
            return Later(lambda: self._finish(turn))

    def _finish(self, turn: Turn) -> Reply:
        try:
            return Reply(self._connection.run(turn), turn.form)
        finally:
            self._count(-1)

    def _count(self, more: int) -> None:
        with self._counting:
            self._waiting += more
