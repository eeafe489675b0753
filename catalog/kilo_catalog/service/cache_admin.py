"""The operations on a node's cache that administrators ask for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from kilo_catalog.db.base import Transaction, UnitOfWork
from kilo_catalog.db.base_cache import CacheEntry
from kilo_catalog.domain.image import ImageStatus
from kilo_catalog.errors import CacheAbsent, CacheInvalid, CacheNotFound
from kilo_catalog.service.access import Access
from kilo_catalog.service.image_cache import ImageCache
from kilo_common.clock import Clock
from kilo_common.context import RequestContext


class Target(Enum):
    """What is to be cleared."""

    BOTH = "both"
    CACHE = "cache"
    QUEUE = "queue"


@dataclass(frozen=True)
class CacheAdmin:
    """See and steer the cache of the node that is asked."""

    unit_of_work: UnitOfWork
    access: Access
    cache: ImageCache | None
    clock: Clock
    wake: Callable[[], None]
    """Has what is in line be cached; returns at once."""

    def list(self, context: RequestContext) -> Sequence[CacheEntry]:
        """What is cached, and what is in line for it.

        Raises:
            PolicyForbids: the caller may not.
            CacheAbsent: this node has none.
        """
        return self._enforce(context, "cache_list").entries()

    def queue(self, context: RequestContext, image_id: str) -> None:
        """Put an image in line. One that is cached stays as it is.

        Raises:
            PolicyForbids, CacheAbsent: see `list`.
            ImageNotFound: there is none.
            CacheInvalid: it has no data to cache.
        """
        cache = self._enforce(context, "cache_image")
        entry = CacheEntry(node=cache.node, image_id=image_id, queued_at=self.clock.now())

        def work(transaction: Transaction) -> None:
            image = transaction.images.get(image_id)
            if image.status is not ImageStatus.ACTIVE:
                raise CacheInvalid(
                    f"Image {image_id} is {image.status.value}; only an active one can be cached",
                    image_id=image_id,
                )
            if transaction.cache.find(cache.node, image_id) is None:
                transaction.cache.put(entry)

        self.unit_of_work.write(work)
        self.wake()

    def remove(self, context: RequestContext, image_id: str) -> None:
        """Take an image out of the cache, and out of the line.

        Raises:
            PolicyForbids, CacheAbsent: see `list`.
            CacheNotFound: it is in neither.
        """
        cache = self._enforce(context, "cache_delete")
        entry = self.unit_of_work.read(lambda tx: tx.cache.find(cache.node, image_id))
        if entry is None:
            raise CacheNotFound(
                f"Image {image_id[:64]} is neither cached nor queued here", image_id=image_id[:64]
            )
        cache.drop([entry])

    def clear(self, context: RequestContext, target: Target) -> None:
        """Empty the cache, the line, or both. Raises as `list`."""
        cache = self._enforce(context, "cache_delete")
        wanted = {Target.CACHE: (True,), Target.QUEUE: (False,), Target.BOTH: (True, False)}[target]
        gone = [each for each in cache.entries() if (each.cached_at is not None) in wanted]
        if gone:
            cache.drop(gone)

    def nodes(self, context: RequestContext, image_id: str) -> Sequence[str]:
        """The nodes that have an image cached.

        Raises:
            PolicyForbids, CacheAbsent: see `list`.
            ImageNotFound: there is none.
        """
        self._enforce(context, "cache_list")

        def work(transaction: Transaction) -> Sequence[str]:
            transaction.images.get(image_id)
            found = transaction.cache.list_image(image_id)
            return [each.node for each in found if each.cached_at is not None]

        return self.unit_of_work.read(work)

    def clean(self, context: RequestContext) -> int:
        """Drop what is of no use any more; how much that was. Raises as `list`."""
        return self._enforce(context, "cache_delete").clean()

    def prune(self, context: RequestContext) -> int:
        """Drop what is too much; how much that was. Raises as `list`."""
        return self._enforce(context, "cache_delete").prune()

    def _enforce(self, context: RequestContext, rule: str) -> ImageCache:
        self.access.policy.enforce(context, rule, {})
        if self.cache is None:
            raise CacheAbsent("This node has no cache (catalog.cache.path)")
        return self.cache
