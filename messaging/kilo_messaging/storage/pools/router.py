"""Where each topic lies: what the main store says, remembered for a moment.

Every process looks twice a second whether pools, flavors or placements have changed. Whoever
changes one waits until all have seen it (`Router.settle`) before relying on it. While there are no
pools nothing is looked up at all.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar

from kilo_common.clock import Clock
from kilo_common.errors import Unavailable
from kilo_messaging.domain.pool import MAIN, Flavor, Placement, Pool, choose_pool
from kilo_messaging.domain.topic import FLAVOR, Metadata, Topic, TopicKey
from kilo_messaging.errors import MoveRefused, TopicMoving
from kilo_messaging.storage.base import Stores

log = logging.getLogger(__name__)
T = TypeVar("T")
OpenPool = Callable[[Pool], Stores]
"""Opens a pool's store. Raises ConfigInvalid, DriverUnavailable or Unavailable."""
REMEMBERED = 20_000
_PAUSE = 0.02


@dataclass(frozen=True)
class RouterTimes:
    """How long what is remembered counts, in seconds."""

    refresh: float = 0.5
    """So old what is known of pools may be."""
    entry: float = 2.0
    """So old a placement may be; shorter than a released name keeps its place."""
    settle: float = 1.25
    """After so long every process has seen a change: twice `refresh`, and some."""
    patience: float = 10.0
    """So long a request waits for a topic that is being moved."""


class PoolUnknown(Unavailable):
    """A topic lies on a pool that is not there."""

    code = "messaging.pool.unknown"


@dataclass(frozen=True)
class _View:
    version: int
    pools: dict[str, Pool]
    flavors: list[Flavor]
    read_at: float
    entries: dict[TopicKey, tuple[Placement | None, float]] = field(default_factory=dict)


class Router:
    """Leads to the store of each topic."""

    def __init__(
        self,
        main: Stores,
        open_pool: OpenPool,
        clock: Clock,
        *,
        main_weight: int = 0,
        times: RouterTimes | None = None,
    ) -> None:
        self.main = main
        self._open_pool = open_pool
        self._clock = clock
        self._main_weight = main_weight
        self._times = times or RouterTimes()
        self._seen: _View | None = None
        self._refreshing = threading.Lock()
        self._opened: dict[str, tuple[Pool, Stores]] = {}
        self._retired: list[Stores] = []
        self._away: set[str] = set()

    def at(self, key: TopicKey) -> Stores:
        """The store that the topic lies in; the main one where there is no such topic.

        Raises:
            TopicMoving: it has been on its way for longer than one waits.
            Unavailable: the main store does not answer.
        """
        view = self._view()
        if not view.pools:
            return self.main
        placement = self._placement(key, view)
        return self.main if placement is None else self.store_of(placement.pool)

    def home(self, key: TopicKey, metadata: Metadata | None = None) -> Stores:
        """The same for somebody who adds something: a topic that is not there is placed.

        `metadata` is what a topic is made with: it may name a flavor, and a dead letter topic,
        which must lie on the same pool.

        Raises:
            FlavorUnknown: no pool has that flavor.
            MoveRefused: the dead letter topic lies elsewhere.
        """
        view = self._view()
        if not view.pools:
            return self.main
        placement = self._placement(key, view)
        letters = _dead_letters(key, metadata or {})
        if placement is None:
            placement = self._place_new(key, metadata or {}, letters, view)
        if letters is not None:
            self._tie(letters, placement.pool)
        return self.store_of(placement.pool)

    def pool_of(self, key: TopicKey) -> str | None:
        """The name of the pool that the topic lies on; None where there is no such topic."""
        view = self._view()
        if view.pools:
            placement = self._placement(key, view)
            return None if placement is None else placement.pool
        return None if self.main.topics.get(key) is None else MAIN

    def keep_together(self, key: TopicKey, others: list[TopicKey]) -> None:
        """`others` are where `key` lies, whoever put them there."""
        view = self._view()
        if not view.pools:
            return
        placement = self._placement(key, view)
        for other in others:
            if placement is not None:
                self._place(other, placement.pool)

    def release(self, key: TopicKey) -> None:
        """The topic is deleted."""
        view = self._view()
        if view.pools:
            self.main.placements.release(key, self._clock.now())
            view.entries.pop(key, None)

    def store_of(self, name: str) -> Stores:
        """The store of a pool.

        Raises:
            PoolUnknown: there is no pool of that name.
        """
        if name == MAIN:
            return self.main
        pool = self._view().pools.get(name)
        opened = self._opened.get(name)
        if pool is None:
            raise PoolUnknown(f"Pool {name} is not there", pool=name)
        if opened is None or (opened[0].uri, opened[0].options) != (pool.uri, pool.options):
            if opened is not None:
                self._retired.append(opened[1])
            opened = pool, self._open_pool(pool)
            self._opened[name] = opened
        return opened[1]

    def names(self) -> list[str]:
        """The names of all pools, the main one first."""
        return [MAIN, *self._view().pools]

    def everywhere(self) -> list[tuple[str, Stores]]:
        """All stores with their names, the main one first."""
        found = [(MAIN, self.main)]
        for name in self._view().pools:
            found.append((name, self.store_of(name)))
        return found

    def attempt(self, name: str, work: Callable[[Stores], T]) -> T | None:
        """What `work` makes of a pool's store; None where that pool is away.

        For work that goes on though it is.

        Raises:
            Unavailable: the main store is away.
        """
        try:
            found = work(self.store_of(name))
        except Unavailable as fault:
            if name == MAIN:
                raise
            if name not in self._away:
                self._away.add(name)
                log.warning("pool %s is away, and passed over: %s", name, fault)
            return None
        if name in self._away:
            self._away.discard(name)
            log.warning("pool %s is back", name)
        return found

    def settle(self) -> None:
        """Return when every process has seen what was changed before."""
        self._seen = None
        threading.Event().wait(self._times.settle)

    def close(self) -> None:
        """Let go of all stores."""
        for _pool, stores in self._opened.values():
            stores.close()
        for stores in self._retired:
            stores.close()
        self.main.close()

    def _view(self) -> _View:
        seen = self._seen
        now = self._clock.monotonic()
        if seen is not None and now - seen.read_at < self._times.refresh:
            return seen
        if not self._refreshing.acquire(blocking=seen is None):
            assert seen is not None, "somebody is reading it anew"
            return seen
        try:
            return self._read(seen, now)
        finally:
            self._refreshing.release()

    def _read(self, seen: _View | None, now: float) -> _View:
        placements = self.main.placements
        version = placements.version()
        if seen is not None and seen.version == version:
            view = _View(version, seen.pools, seen.flavors, now, seen.entries)
        elif version == 0:
            view = _View(0, {}, [], now)
        else:
            pools = {pool.name: pool for pool in placements.pools()}
            view = _View(version, pools, [*placements.flavors()], now)
        self._seen = view
        return view

    def _placement(self, key: TopicKey, view: _View) -> Placement | None:
        known = view.entries.get(key)
        if known is not None:
            placement, until = known
            if self._clock.monotonic() < until:
                return placement
        found = self._look_up(key)
        self._remember(view, key, found)
        return found

    def _look_up(self, key: TopicKey) -> Placement | None:
        give_up = time.monotonic() + self._times.patience
        while True:
            now = self._clock.now()
            found = self.main.placements.find(key, now)
            if found is None:
                return self._find_unplaced(key)
            if not found.is_moving(now):
                return found
            if time.monotonic() > give_up:
                raise TopicMoving(
                    f"Topic {key.name} is being moved to another pool; try again in a moment"
                )
            threading.Event().wait(_PAUSE)

    def _find_unplaced(self, key: TopicKey) -> Placement | None:
        """Note where a topic lies that was there before there were pools, or came by itself.

        A pool that is away is passed over: whoever wants something of other topics need not wait.
        """
        for name in self.names():
            topic = self.attempt(name, lambda stores: stores.topics.get(key))
            if topic is not None:
                placement = self._place(key, name)
                if topic.dead_letters is not None:
                    self._place(topic.dead_letters, name)
                return placement
        return None

    def _place_new(
        self, key: TopicKey, metadata: Metadata, letters: TopicKey | None, view: _View
    ) -> Placement:
        there = self.main.placements.find(letters, self._clock.now()) if letters else None
        flavor = metadata.get(FLAVOR)
        if there is not None and flavor is None:
            return self._place(key, there.pool)
        chosen = choose_pool(flavor, [*view.pools.values()], view.flavors, self._main_weight)
        return self._place(key, chosen)

    def _tie(self, letters: TopicKey, pool: str) -> None:
        placed = self._place(letters, pool)
        if placed.pool != pool:
            raise MoveRefused(
                f"The dead letter topic {letters.name} lies on pool {placed.pool}, and this topic "
                f"on {pool}: move one of them first",
                pool=placed.pool,
            )

    def _place(self, key: TopicKey, pool: str) -> Placement:
        placed = self.main.placements.place(key, pool, self._clock.now())
        self._remember(self._view(), key, placed)
        return placed

    def _remember(self, view: _View, key: TopicKey, placement: Placement | None) -> None:
        if len(view.entries) >= REMEMBERED:
            for old in list(islice(view.entries, REMEMBERED // 10)):
                view.entries.pop(old, None)
        lasts = self._times.refresh if placement is None else self._times.entry
        view.entries[key] = placement, self._clock.monotonic() + lasts


def _dead_letters(key: TopicKey, metadata: Metadata) -> TopicKey | None:
    made_at = datetime.min.replace(tzinfo=UTC)
    return Topic(key=key, metadata=metadata, created_at=made_at).dead_letters
