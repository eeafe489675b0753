"""Operations on pools and flavors, and on where topics lie: for operators."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from msgspec import structs

from kilo_common.context import RequestContext
from kilo_messaging.domain.pool import MAIN, MAX_WEIGHT, Flavor, Pool, check_pool_name
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.errors import (
    FlavorNotFound,
    PoolInUse,
    PoolInvalid,
    PoolNotFound,
    TopicNotFound,
)
from kilo_messaging.service.desk import Desk, within
from kilo_messaging.storage.placement_base import PlacementStore


class Moved(Protocol):
    """What was moved."""

    @property
    def topics(self) -> Sequence[str]:
        """The topic, and those that share dead letters with it."""
        ...


class Placing(Protocol):
    """What places topics: see `storage.pools`."""

    def pool_of(self, key: TopicKey) -> str | None:
        """The name of the pool that a topic lies on; None where there is no such topic."""
        ...

    def settle(self) -> None:
        """Return when every process has seen what was changed before."""
        ...

    def reachable(self) -> Mapping[str, bool]:
        """Whether the store of each pool answers."""
        ...

    def try_out(self, pool: Pool) -> None:
        """Make a pool's store ready for use.

        Raises:
            PoolInvalid: it cannot be used, and why.
        """
        ...

    def move(self, key: TopicKey, pool: str) -> Any:
        """Move a topic; what was moved. Raises as `storage.pools.mover.TopicMover.move`."""
        ...


@dataclass(frozen=True)
class PoolChanges:
    """What is to be different; None: as it is."""

    uri: str | None = None
    weight: int | None = None
    flavor: str | None = None
    options: Mapping[str, Any] | None = None


class PoolOperations:
    """What an operator may do with pools and flavors."""

    def __init__(self, desk: Desk, placing: Placing, main_uri: str) -> None:
        self._desk = desk
        self._placing = placing
        self._main_uri = main_uri

    @property
    def _kept(self) -> PlacementStore:
        return self._desk.stores.placements

    def pools(self, context: RequestContext, *, marker: str, limit: int | None) -> list[Pool]:
        """Pools by name, those after `marker`."""
        self._desk.permit(context, "pools:get_all")
        size = self._desk.page_size(limit)
        return [pool for pool in self._kept.pools() if pool.name > marker][:size]

    def pool(self, context: RequestContext, name: str) -> Pool:
        """One pool.

        Raises:
            PoolNotFound: there is none.
        """
        self._desk.permit(context, "pools:get")
        return self._find_pool(name)

    def put_pool(self, context: RequestContext, name: str, wanted: PoolChanges) -> bool:
        """Add a pool, or change the one of that name; whether it is new.

        It takes about a second: every process hears of it before topics are placed on it.

        Raises:
            NameInvalid, LimitExceeded, PoolInvalid, PoolInUse: it cannot be as it was given.
        """
        self._desk.permit(context, "pools:create")
        check_pool_name(name)
        if wanted.uri is None or wanted.weight is None:
            raise PoolInvalid("A pool needs a uri and a weight", pool=name)
        given = Pool(
            name=name,
            uri=wanted.uri,
            weight=wanted.weight,
            flavor=wanted.flavor,
            options=wanted.options or {},
        )
        present = {pool.name: pool for pool in self._kept.pools()}.get(name)
        self._keep_pool(given, present)
        return present is None

    def update_pool(self, context: RequestContext, name: str, wanted: PoolChanges) -> Pool:
        """Change a pool; as it is then.

        Raises:
            PoolNotFound: there is none.
            LimitExceeded, PoolInvalid, PoolInUse: it cannot be as it was given.
        """
        self._desk.permit(context, "pools:update")
        present = self._find_pool(name)
        given = {key: value for key, value in vars(wanted).items() if value is not None}
        if not given:
            raise PoolInvalid("Nothing to change: name a uri, weight, flavor or options", pool=name)
        return self._keep_pool(structs.replace(present, **given, ready=False), present)

    def drop_pool(self, context: RequestContext, name: str) -> None:
        """Remove a pool that no topic lies on; a missing one is no error.

        Raises:
            PoolInUse: topics lie on it.
        """
        self._desk.permit(context, "pools:delete")
        present = {pool.name: pool for pool in self._kept.pools()}.get(name)
        if present is None:
            return
        # No process may place anything on it while we look.
        self._kept.put_pool(structs.replace(present, ready=False))
        self._placing.settle()
        try:
            self._kept.drop_pool(name, self._desk.now())
        except PoolInUse:
            self._kept.put_pool(present)
            raise

    def flavors(self, context: RequestContext, *, marker: str, limit: int | None) -> list[Flavor]:
        """Flavors by name, those after `marker`."""
        self._desk.permit(context, "flavors:get_all")
        size = self._desk.page_size(limit)
        return [each for each in self._kept.flavors() if each.name > marker][:size]

    def flavor(self, context: RequestContext, name: str) -> Flavor:
        """One flavor.

        Raises:
            FlavorNotFound: there is none.
        """
        self._desk.permit(context, "flavors:get")
        return self._find_flavor(name)

    def put_flavor(self, context: RequestContext, name: str, pool_list: Sequence[str]) -> bool:
        """Add a flavor, or change the one of that name; whether it is new.

        Raises:
            NameInvalid, PoolInvalid: it names no pool, or one that is not there.
        """
        self._desk.permit(context, "flavors:create")
        check_pool_name(name)
        return self._keep_flavor(name, pool_list)

    def update_flavor(self, context: RequestContext, name: str, pool_list: Sequence[str]) -> Flavor:
        """Change a flavor's pools; as it is then. Topics stay where they lie.

        Raises:
            FlavorNotFound, PoolInvalid.
        """
        self._desk.permit(context, "flavors:update")
        self._find_flavor(name)
        self._keep_flavor(name, pool_list)
        return self._find_flavor(name)

    def drop_flavor(self, context: RequestContext, name: str) -> None:
        """Remove a flavor; its topics stay where they lie. A missing one is no error."""
        self._desk.permit(context, "flavors:delete")
        self._kept.drop_flavor(name)

    def placement(self, context: RequestContext, topic_name: str, project: str | None) -> str:
        """The pool that a topic lies on.

        Raises:
            TopicNotFound: there is no such topic.
        """
        self._desk.permit(context, "topics:placement")
        found = self._placing.pool_of(self._key(context, topic_name, project))
        if found is None:
            raise TopicNotFound(f"There is no topic {topic_name}", topic=topic_name)
        return found

    def move(self, context: RequestContext, topic_name: str, pool: str, project: str | None) -> Any:
        """Move a topic with all that is in it to a pool; requests wait for it meanwhile.

        Raises:
            PoolNotFound, TopicNotFound: there is none.
            MoveRefused: somebody else is moving it.
        """
        self._desk.permit(context, "topics:move")
        if pool != MAIN:
            self._find_pool(pool)
        return self._placing.move(self._key(context, topic_name, project), pool)

    def _key(self, context: RequestContext, name: str, project: str | None) -> TopicKey:
        key = self._desk.key(context, name)
        return key if project is None else TopicKey(project, key.name)

    def _find_pool(self, name: str) -> Pool:
        for pool in self._kept.pools():
            if pool.name == name:
                return pool
        raise PoolNotFound(f"There is no pool {name[:64]}", pool=name[:64])

    def _find_flavor(self, name: str) -> Flavor:
        for flavor in self._kept.flavors():
            if flavor.name == name:
                return flavor
        raise FlavorNotFound(f"There is no flavor {name[:64]}", flavor=name[:64])

    def _keep_pool(self, pool: Pool, present: Pool | None) -> Pool:
        self._check_pool(pool, present)
        self._placing.try_out(pool)
        self._kept.put_pool(pool)
        self._placing.settle()
        kept = structs.replace(pool, ready=True)
        self._kept.put_pool(kept)
        self._placing.settle()
        return kept

    def _check_pool(self, pool: Pool, present: Pool | None) -> None:
        within("weight", pool.weight, 0, MAX_WEIGHT)
        if pool.name == MAIN:
            raise PoolInvalid(
                f"{MAIN} is the store of messaging.database.url; its weight is "
                "messaging.pools.main_weight",
                pool=MAIN,
            )
        if pool.flavor is not None:
            check_pool_name(pool.flavor)
        others = {other.uri: other.name for other in self._kept.pools() if other.name != pool.name}
        others[self._main_uri] = MAIN
        if pool.uri in others:
            raise PoolInvalid(f"Pool {others[pool.uri]} has that uri already", pool=pool.name)
        if present is not None and present.uri != pool.uri:
            # Its topics would be left behind: it must have none.
            self._kept.drop_pool(pool.name, self._desk.now())

    def _keep_flavor(self, name: str, pool_list: Sequence[str]) -> bool:
        names = {pool.name for pool in self._kept.pools()} | {MAIN}
        unknown = sorted(set(pool_list) - names)
        if not pool_list or unknown:
            raise PoolInvalid(
                f"There is no pool {unknown[0][:64]}" if unknown else "A flavor names pools",
                flavor=name,
            )
        return self._kept.put_flavor(Flavor(name=name, pool_list=tuple(dict.fromkeys(pool_list))))
