"""Moving topics from one pool to another with all that is theirs.

While a topic is on its way whoever wants something of it waits. So nothing changes under the copy,
and the order stays; and until the last step everything is where it was: whatever goes wrong before
that, the topic has not moved, and what was copied is removed.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct, structs

from kilo_common.clock import Clock
from kilo_messaging.domain.pool import Placement
from kilo_messaging.domain.subscription import Subscription
from kilo_messaging.domain.topic import Topic, TopicKey
from kilo_messaging.errors import MoveRefused, TopicNotFound
from kilo_messaging.storage.base import Page, Stores
from kilo_messaging.storage.pools.router import Router

BATCH = 500
LEASE = timedelta(seconds=30)
"""A mover that has not been heard of for so long has died."""
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Moved(Struct, frozen=True, kw_only=True):
    """What was moved."""

    pool: str
    topics: tuple[str, ...] = ()
    """The topic, and those that share dead letters with it."""
    messages: int = 0
    subscriptions: int = 0
    deliveries: int = 0


class TopicMover:
    """Moves topics."""

    def __init__(self, router: Router, clock: Clock) -> None:
        self._router = router
        self._clock = clock

    def move(self, key: TopicKey, pool: str) -> Moved:
        """Move a topic, and those that share dead letters with it, to a pool.

        Raises:
            TopicNotFound: there is no such topic.
            MoveRefused: somebody else is moving one of them.
            Unavailable: a store does not answer; then nothing has moved.
        """
        origin = self._router.pool_of(key)
        if origin is None:
            raise TopicNotFound(f"There is no topic {key.name}", topic=key.name)
        if origin == pool:
            return Moved(pool=pool)
        source, target = self._router.store_of(origin), self._router.store_of(pool)
        keys = _tied(source, key)
        journey = _Journey(self._router, self._clock, origin, pool, keys)
        journey.begin()
        try:
            self._router.settle()
            _clear(target, journey.keys, self._clock.now())
            for each in keys:
                source.bring(each, self._clock.now())
            found = [source.topics.get(each) for each in keys]
            topics = [topic for topic in found if topic is not None]
            copies = [_Copy(source, target, topic, self._clock, journey.renew) for topic in topics]
            for copy in copies:
                copy.all()
            journey.arrive()
        except BaseException:
            journey.give_up()
            _clear(target, journey.keys, self._clock.now())
            raise
        self._router.settle()
        for copy in copies:
            # Of a request that was under way all the time.
            copy.late()
            source.topics.delete(copy.topic.key)
        return Moved(
            pool=pool,
            topics=tuple(sorted(each.name for each in journey.keys)),
            messages=sum(copy.messages for copy in copies),
            subscriptions=sum(copy.subscriptions for copy in copies),
            deliveries=sum(copy.deliveries for copy in copies),
        )


class _Journey:
    """The placements of a group of topics that are moved together."""

    def __init__(
        self, router: Router, clock: Clock, origin: str, target: str, keys: Sequence[TopicKey]
    ) -> None:
        self._placements = router.main.placements
        self._clock = clock
        self._origin = origin
        self._target = target
        self.keys = keys
        self._current: dict[TopicKey, Placement] = {}

    def begin(self) -> None:
        now = self._clock.now()
        for key in self.keys:
            present = self._placements.place(key, self._origin, now)
            moving = Placement(pool=self._origin, moving_to=self._target, moving_until=now + LEASE)
            free = present.pool == self._origin and not present.is_moving(now)
            if not free or not self._placements.change(key, present, moving):
                self.give_up()
                raise MoveRefused(f"Topic {key.name} is being moved by somebody else")
            self._current[key] = moving

    def renew(self) -> None:
        """We are alive.

        Raises:
            MoveRefused: we were silent for too long.
        """
        now = self._clock.now()
        for key, present in self._current.items():
            if present.moving_until is None or now < present.moving_until - LEASE / 2:
                return
            if not present.is_moving(now):
                raise MoveRefused("The move took too long from one step to the next")
            longer = structs.replace(present, moving_until=now + LEASE)
            self._change(key, longer)

    def arrive(self) -> None:
        self.renew()
        for key in self.keys:
            self._change(key, Placement(pool=self._target))

    def give_up(self) -> None:
        for key, present in self._current.items():
            self._placements.change(key, present, Placement(pool=self._origin))

    def _change(self, key: TopicKey, after: Placement) -> None:
        if not self._placements.change(key, self._current[key], after):
            raise MoveRefused(f"Topic {key.name} was moved by somebody else meanwhile")
        self._current[key] = after


class _Copy:
    """One topic's copy on another store."""

    def __init__(
        self, source: Stores, target: Stores, topic: Topic, clock: Clock, renew: Callable[[], None]
    ) -> None:
        self.topic = topic
        self.messages = self.subscriptions = self.deliveries = 0
        self._source = source
        self._target = target
        self._clock = clock
        self._renew = renew
        self._last = 0

    def all(self) -> None:
        now = self._clock.now()
        self._target.topics.create(self.topic.key, self.topic.metadata, now)
        self.late()
        for subscription in self._each_subscription():
            kept = self._target.subscriptions.create(subscription, now)
            self.subscriptions += 1
            for failed in (True, False):
                self._copy_deliveries(subscription.id, kept.id, failed=failed)

    def late(self) -> None:
        """Messages behind the last one that was copied."""
        key = self.topic.key
        while True:
            self._renew()
            now = self._clock.now()
            page = Page(limit=BATCH, after=self._last, claimed=True, delayed=True)
            found = self._source.messages.page(key, page, now)
            if not found:
                return
            names = {message.claim_id for message in found if message.holder_at(now)}
            held = [self._source.claims.get(key, name, now) for name in names if name]
            claims = [each[0] for each in held if each is not None]
            self._target.messages.put(key, found, claims, now)
            self._last = found[-1].position
            self.messages += len(found)

    def _each_subscription(self) -> Iterator[Subscription]:
        after = ""
        while True:
            found = self._source.subscriptions.page(
                self.topic.key, after=after, limit=BATCH, now=self._clock.now()
            )
            yield from found
            if len(found) < BATCH:
                return
            after = found[-1].id

    def _copy_deliveries(self, before: str, kept: str, *, failed: bool) -> None:
        key, after = self.topic.key, 0
        while True:
            self._renew()
            now = self._clock.now()
            found = self._source.deliveries.pending(
                key, before, failed=failed, after=after, limit=BATCH, now=now
            )
            if not found:
                return
            self._target.deliveries.put(key, kept, found, now)
            after = found[-1].position
            self.deliveries += len(found)


def _tied(source: Stores, key: TopicKey) -> list[TopicKey]:
    """The topic and those on its pool that share dead letters with it."""
    present = {topic.key: topic for topic in _of_project(source, key.project_id)}
    group, new = {key}, {key}
    while new:
        near = {
            other
            for topic in present.values()
            if (letters := topic.dead_letters) is not None
            for one, other in ((topic.key, letters), (letters, topic.key))
            if one in new
        }
        new = near - group
        group |= near
    return sorted(group, key=lambda one: one.name)


def _of_project(stores: Stores, project_id: str) -> Iterator[Topic]:
    after = ""
    while True:
        page = stores.topics.page(project_id, after=after, limit=BATCH)
        yield from page
        if len(page) < BATCH:
            return
        after = page[-1].key.name


def _clear(target: Stores, keys: Sequence[TopicKey], now: datetime) -> None:
    """Remove what an earlier move may have left, or an older stay of the topic."""
    for key in keys:
        target.topics.delete(key)
    while target.messages.sweep(now, BATCH, _NEVER) >= BATCH:
        pass
    while target.deliveries.sweep(now, BATCH, _NEVER) >= BATCH:
        pass
