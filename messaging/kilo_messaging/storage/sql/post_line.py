"""Posts that wait while one transaction is under way become the next transaction together."""

from collections.abc import Callable, Sequence
from itertools import islice

from kilo_common.errors import KiloError
from kilo_messaging.storage.base import Outcome, Post
from kilo_messaging.storage.line import Line

MOST = 512
"""Posts of one transaction: more would gain nothing, and hold up who only has one."""
WritePosts = Callable[[Sequence[Post]], list[Outcome]]
"""Posts all of these in one transaction; raises if none of them could be."""


class PostLine:
    """Where posts wait for each other."""

    def __init__(self, write: WritePosts) -> None:
        self._write = write
        self._line: Line[Sequence[Post], list[Outcome]] = Line(
            self._write_groups, most=MOST, weigh=len
        )

    def post(self, posts: Sequence[Post]) -> list[Outcome]:
        """Post these in their order, alone or together with others; returns after the commit."""
        outcomes: list[Outcome] = []
        for start in range(0, len(posts), MOST):
            group = posts[start : start + MOST]
            try:
                outcomes += self._line.do(group)
            except KiloError as fault:
                outcomes += [fault] * len(group)
        return outcomes

    def _write_groups(self, groups: Sequence[Sequence[Post]]) -> list[list[Outcome]]:
        outcomes = iter(self._write([post for group in groups for post in group]))
        return [list(islice(outcomes, len(group))) for group in groups]
