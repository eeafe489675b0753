"""Pools: stores that topics are placed on, and flavors, which name some of them.

The main store is a pool too, called `main`: what has no placement of its own lies there.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from kilo_messaging.errors import FlavorUnknown, NameInvalid

MAIN = "main"
MAX_WEIGHT = 2**32 - 1
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PASSWORD = re.compile(r"(?<=://)(?P<user>[^:/?#@]*):(?P<password>[^/?#@]*)@")
Chance = Callable[[], float]
"""A number from 0 to 1, 1 not among them."""


class Pool(Struct, frozen=True, kw_only=True):
    """A store beside the main one."""

    name: str
    uri: str
    weight: int
    """How many of the new topics it gets, compared with others; with 0 none."""
    flavor: str | None = None
    """A flavor that it belongs to; then it gets only topics of that flavor."""
    options: Mapping[str, Any] = {}
    ready: bool = False
    """Whether every process has heard of it, so that topics may be placed on it."""

    @property
    def shown_uri(self) -> str:
        """The URI without its password."""
        return _PASSWORD.sub(r"\g<user>:***@", self.uri)


class Flavor(Struct, frozen=True, kw_only=True):
    """A name for some pools."""

    name: str
    pool_list: tuple[str, ...]


class Placement(Struct, frozen=True, kw_only=True):
    """Where a topic lies."""

    pool: str
    moving_to: str | None = None
    moving_until: datetime | None = None
    """A move that has not ended by then is given up: the topic has stayed where it was."""
    released_at: datetime | None = None
    """When the topic was deleted. For a while its name stays where it was."""

    def is_moving(self, now: datetime) -> bool:
        """Whether the topic is on its way, so that everybody has to wait."""
        return self.moving_until is not None and now < self.moving_until


def check_pool_name(name: str) -> str:
    """`name`, if a pool or a flavor may be called so.

    Raises:
        NameInvalid: it may not.
    """
    if _NAME.fullmatch(name) is None:
        raise NameInvalid(
            "The name of a pool or a flavor has 1 to 64 characters out of A-Z, a-z, 0-9, '_', '-' "
            "and '.'",
            name=name[:128],
        )
    return name


def choose_pool(
    flavor: str | None,
    pools: Sequence[Pool],
    flavors: Sequence[Flavor],
    main_weight: int,
    chance: Chance = random.random,
) -> str:
    """The pool for a new topic: by chance, according to the weights.

    Raises:
        FlavorUnknown: there is no such flavor, or no pool of it takes topics.
    """
    ready = [pool for pool in pools if pool.ready and pool.weight > 0]
    if flavor is None:
        weights = {pool.name: pool.weight for pool in ready if pool.flavor is None}
        if main_weight or not weights:
            weights[MAIN] = max(main_weight, 1)
    else:
        listed = next((each.pool_list for each in flavors if each.name == flavor), None)
        weights = {
            pool.name: pool.weight
            for pool in ready
            if pool.flavor == flavor or (listed is not None and pool.name in listed)
        }
        if listed is not None and MAIN in listed:
            weights[MAIN] = max(main_weight, 1)
        if not weights:
            raise FlavorUnknown(f"No pool of flavor {flavor!r} takes topics", flavor=flavor)
    return _draw(weights, chance)


def _draw(weights: Mapping[str, int], chance: Chance) -> str:
    left = chance() * sum(weights.values())
    for name, weight in weights.items():
        left -= weight
        if left < 0:
            return name
    return next(iter(weights))
