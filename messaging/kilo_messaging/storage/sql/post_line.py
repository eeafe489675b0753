"""Posts that wait while one transaction is under way become the next transaction together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.storage.base import WINDOW, Posted, Prepare
from kilo_messaging.storage.line import Line

MOST = 128


@dataclass(frozen=True)
class Post:
    """One caller's post."""

    key: TopicKey
    prepare: Prepare
    now: datetime
    once: str | None = None
    window: timedelta = WINDOW


Outcome = Posted | Exception | None
"""What was posted, None where its key was used before, or why it was not."""
WritePosts = Callable[[Sequence[Post]], list[Outcome]]
"""Posts all of these in one transaction; raises if none of them could be."""


class PostLine:
    """Where posts wait for each other."""

    def __init__(self, write: WritePosts) -> None:
        self._line: Line[Post, Posted | None] = Line(write, most=MOST)

    def post(self, post: Post) -> Posted | None:
        """Post, alone or together with others; returns after the commit.

        Raises:
            Whatever `prepare` raises, for this post alone.
            Unavailable: the store does not answer.
        """
        return self._line.do(post)
