"""What the main store keeps about pools: which there are, and which topic lies on which.

Every driver passes `tests/contracts/placement_store.py`. The rules of `storage.base` hold here too.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime, timedelta

from kilo_messaging.domain.pool import Flavor, Placement, Pool
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.errors import PoolInUse

RELEASED = timedelta(seconds=5)
"""So long the name of a deleted topic stays on its pool: until every process has forgotten it."""


def in_use(pool: str) -> PoolInUse:
    """What `PlacementStore.drop_pool` raises."""
    return PoolInUse(
        f"Topics lie on pool {pool}, or did a moment ago: move or delete them first", pool=pool
    )


class PlacementStore(ABC):
    """Pools, flavors and placements."""

    @abstractmethod
    def version(self) -> int:
        """A number that grows with each change of a pool, a flavor, or a placement that was there.

        New placements do not change it. 0: there never was a pool or a flavor.
        """

    @abstractmethod
    def pools(self) -> Sequence[Pool]:
        """All pools, by name."""

    @abstractmethod
    def put_pool(self, pool: Pool) -> bool:
        """Add a pool, or change the one of that name; whether it is new."""

    @abstractmethod
    def drop_pool(self, name: str, now: datetime) -> None:
        """Remove a pool; a missing one is no error.

        Raises:
            PoolInUse: topics lie on it, did so `RELEASED` ago, or are on their way to it.
        """

    @abstractmethod
    def flavors(self) -> Sequence[Flavor]:
        """All flavors, by name."""

    @abstractmethod
    def put_flavor(self, flavor: Flavor) -> bool:
        """Add a flavor, or change the one of that name; whether it is new."""

    @abstractmethod
    def drop_flavor(self, name: str) -> None:
        """Remove a flavor; a missing one is no error."""

    @abstractmethod
    def find(self, key: TopicKey, now: datetime) -> Placement | None:
        """Where the topic lies; None if it has no placement, or was released `RELEASED` ago."""

    @abstractmethod
    def place(self, key: TopicKey, pool: str, now: datetime) -> Placement:
        """Place a topic, unless it is placed already; where it is placed now.

        One that was released a moment ago stays where it was.
        """

    @abstractmethod
    def change(self, key: TopicKey, before: Placement, after: Placement) -> bool:
        """Change a placement, if it is still what it was `before`; whether that was so."""

    @abstractmethod
    def release(self, key: TopicKey, now: datetime) -> None:
        """The topic is deleted; one that is not placed is no error."""
