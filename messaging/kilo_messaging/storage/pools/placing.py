"""What operators do with pools, on the stores themselves."""

from collections.abc import Callable

from kilo_common.clock import Clock
from kilo_common.errors import KiloError
from kilo_messaging.domain.pool import Pool
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.errors import PoolInvalid
from kilo_messaging.storage.pools.mover import Moved, TopicMover
from kilo_messaging.storage.pools.router import Router

Prepare = Callable[[Pool], None]
"""Brings a pool's store up to date and makes sure that it answers. Raises KiloError."""


class Pools:
    """Pools as `service.pools` needs them."""

    def __init__(self, router: Router, prepare: Prepare, clock: Clock) -> None:
        self._router = router
        self._prepare = prepare
        self._mover = TopicMover(router, clock)

    def pool_of(self, key: TopicKey) -> str | None:
        """The name of the pool that a topic lies on; None where there is no such topic."""
        return self._router.pool_of(key)

    def settle(self) -> None:
        """Return when every process has seen what was changed before."""
        self._router.settle()

    def reachable(self) -> dict[str, bool]:
        """Whether the store of each pool answers."""
        return {name: self._answers(name) for name in self._router.names()}

    def try_out(self, pool: Pool) -> None:
        """Make a pool's store ready for use.

        Raises:
            PoolInvalid: it cannot be used, and why.
        """
        try:
            self._prepare(pool)
        except KiloError as fault:
            raise PoolInvalid(f"The pool cannot be used: {fault.message}", pool=pool.name) from None

    def _answers(self, name: str) -> bool:
        try:
            self._router.store_of(name).check()
        except KiloError:
            return False
        return True

    def move(self, key: TopicKey, pool: str) -> Moved:
        """Move a topic; see `TopicMover.move`."""
        return self._mover.move(key, pool)
