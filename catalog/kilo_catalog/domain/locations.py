"""The copies of an image's data: which is read first, and what is left when one goes.

What `locations` may look like in a request is in `location_bodies.py`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Annotated

from msgspec import Meta, Struct, structs

from kilo_catalog.domain.image import Image, ImageStatus, Location, move
from kilo_catalog.domain.location_bodies import MOST, Claimed
from kilo_catalog.errors import (
    ClaimContradicted,
    LimitExceeded,
    LocationInvalid,
    LocationNotFound,
    StatusConflict,
    StatusForbids,
)
from kilo_common.config import Section

_WHOLE = frozenset({ImageStatus.ACTIVE, ImageStatus.DEACTIVATED})


class Strategy(Enum):
    """Which copy is read first."""

    LOCATION_ORDER = "location_order"
    """The oldest."""
    STORE_WEIGHT = "store_weight"
    """The one in the heaviest store; among equals the oldest."""
    STORE_TYPE = "store_type"
    """The one whose store's driver comes first in a list; among equals the oldest."""


class LocationSettings(Section, frozen=True):
    """How images with several copies of their data are read, and what is shown of these."""

    show_direct_url: Annotated[
        bool,
        Meta(
            description="Show the URL of the first copy as `direct_url`. Whoever sees an image "
            "then learns where its data is."
        ),
    ] = False
    show_multiple_locations: Annotated[
        bool,
        Meta(
            description="Show all copies as `locations`, and let owners change these by PATCH. "
            "Data that comes in so is not looked at: anybody who owns an image can point it "
            "anywhere that a store reads. `POST /v2/images/ID/locations` needs no such trust."
        ),
    ] = False
    do_secure_hash: Annotated[
        bool,
        Meta(
            description="Read, hash and inspect data that is brought as a location before its "
            "image turns active. Otherwise what the client says of it is believed."
        ),
    ] = True
    strategy: Annotated[
        Strategy,
        Meta(
            description="Which copy is read first: `store_weight`: the one in the heaviest store; "
            "`store_type`: the one whose store's driver comes first in `types`; `location_order`: "
            "the oldest. The oldest as well among equals."
        ),
    ] = Strategy.STORE_WEIGHT
    types: Annotated[
        tuple[str, ...], Meta(description="Drivers for `store_type`, the best first.")
    ] = ()


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


def has_blob(image: Image, store: str, key: str) -> bool:
    """Whether a blob is among the image's copies, or on its way to be."""
    places = [(each.store, each.key) for each in image.locations]
    if image.upload is not None:
        places.append((image.upload.store, image.upload.id))
    if image.staged is not None:
        places.append((image.staged.store, image.staged.key))
    return (store, key) in places


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


def take_up(image: Image, location: Location, size: int, claimed: Claimed, now: datetime) -> Image:
    """A queued `image` whose data is at a location, as a client says. Raises as `move`."""
    return structs.replace(
        move(image, ImageStatus.ACTIVE),
        size=size,
        checksum=claimed.checksum or None,
        os_hash_algo="sha512" if claimed.hash_value else None,
        os_hash_value=claimed.hash_value or None,
        locations=(location,),
        updated_at=now,
    )


def check_claim(image: Image, claimed: Claimed, size: int) -> None:
    """Return if what a client says of another copy does not contradict what is known.

    Raises:
        ClaimContradicted: it does.
    """
    said = (
        ("os_hash_value", claimed.hash_value or None, image.os_hash_value),
        ("checksum", claimed.checksum or None, image.checksum),
        ("size", size, image.size),
    )
    for name, value, known in said:
        if value is not None and known is not None and value != known:
            raise ClaimContradicted(
                f"Image {image.id} has another {name} than the data at that location",
                image_id=image.id,
                attribute=name,
            )


def check_list(image: Image, locations: Sequence[Location]) -> None:
    """Return if these may be the copies of an image that has data.

    Raises:
        StatusForbids: there is none.
        LimitExceeded: there are too many.
        LocationInvalid: one is there twice.
    """
    if not locations:
        raise StatusForbids(
            f"Image {image.id} keeps at least one location; delete the image instead",
            image_id=image.id,
        )
    if len(locations) > MOST:
        raise LimitExceeded(f"An image has at most {MOST} locations", limit=MOST)
    if len({(each.store, each.key) for each in locations}) < len(locations):
        raise LocationInvalid("A location is in the list twice")
