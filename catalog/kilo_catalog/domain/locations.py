"""The copies of an image's data: which is read first, and what is left when one goes.

What `locations` may look like in a request is in `location_bodies.py`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum

from msgspec import Struct, structs

from kilo_catalog.domain.image import Image, ImageStatus, Location
from kilo_catalog.errors import LocationNotFound, StatusConflict, StatusForbids

_WHOLE = frozenset({ImageStatus.ACTIVE, ImageStatus.DEACTIVATED})


class Strategy(Enum):
    """Which copy is read first."""

    LOCATION_ORDER = "location_order"
    """The oldest."""
    STORE_WEIGHT = "store_weight"
    """The one in the heaviest store; among equals the oldest."""
    STORE_TYPE = "store_type"
    """The one whose store's driver comes first in a list; among equals the oldest."""


class Ranking(Struct, frozen=True):
    """The order in which copies are tried."""

    strategy: Strategy = Strategy.LOCATION_ORDER
    weights: Mapping[str, int] = {}
    """Of the stores, by name."""
    drivers: Mapping[str, str] = {}
    """Of the stores, by name."""
    types: Sequence[str] = ()
    """Drivers, the best first; others come after them."""

    def sort(
        self, locations: Sequence[Location], prefer: Sequence[str] = ()
    ) -> tuple[Location, ...]:
        """All locations, those in the stores that the reader prefers first, in its order."""
        wanted = {name: number for number, name in reversed(list(enumerate(prefer)))}

        def rank(location: Location) -> tuple[int, int]:
            return wanted.get(location.store, len(prefer)), self._rank(location.store)

        return tuple(sorted(locations, key=rank))

    def _rank(self, store: str) -> int:
        if self.strategy is Strategy.STORE_WEIGHT:
            return -self.weights.get(store, 0)
        if self.strategy is Strategy.STORE_TYPE and self.drivers.get(store) in self.types:
            return self.types.index(self.drivers[store])
        return len(self.types)


def check_settled(image: Image) -> None:
    """Return if the image has its data and nobody is at work on it.

    Raises:
        StatusConflict: it has none yet, or is being imported.
    """
    if image.status not in _WHOLE:
        raise StatusConflict(
            f"Image {image.id} is {image.status.value}; it must be active",
            image_id=image.id,
            status=image.status.value,
        )
    if image.imports is not None and image.imports.task is not None:
        raise StatusConflict(
            f"Image {image.id} is in the hands of task {image.imports.task}; wait for it",
            image_id=image.id,
            task_id=image.imports.task,
        )


def leave_store(image: Image, store: str, now: datetime) -> tuple[Image, Sequence[Location]]:
    """`image` without its copies in a store, and these.

    Raises:
        StatusConflict: see `check_settled`.
        LocationNotFound: it has none there.
        StatusForbids: it has no other.
    """
    check_settled(image)
    gone = [each for each in image.locations if each.store == store]
    if not gone:
        raise LocationNotFound(
            f"Image {image.id} has no data in store {store[:64]!r}", image_id=image.id
        )
    left = tuple(each for each in image.locations if each.store != store)
    if not left:
        raise StatusForbids(
            f"Store {store} has the only data of image {image.id}; delete the image instead",
            image_id=image.id,
        )
    return structs.replace(image, locations=left, updated_at=now), gone
