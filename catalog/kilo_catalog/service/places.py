"""Finds the blob that a URL means: what clients name when they bring a location and no bytes."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from urllib.parse import urlsplit

from kilo_catalog.domain.image import Location
from kilo_catalog.errors import LocationInvalid
from kilo_catalog.stores.base import BlobStore, Capability
from kilo_catalog.stores.transfer import locate
from kilo_common.context import RequestContext
from kilo_common.errors import InvalidInput, KiloError, NotFound
from kilo_common.policy import Policy

log = logging.getLogger(__name__)
_WEB = frozenset({"http", "https"})


@dataclass(frozen=True)
class Place:
    """A blob that is there."""

    location: Location
    size: int


@dataclass(frozen=True)
class Places:
    """The stores, asked by URL."""

    stores: Mapping[str, BlobStore]
    offered: Sequence[str]
    """The stores that clients may know of."""
    policy: Policy
    executor: Executor

    def find(self, context: RequestContext, url: str) -> Place:
        """The blob at `url`: on the web, if a store reads there, or in a store that the caller may
        name blobs of.

        Raises:
            LocationInvalid: no store has such a blob, or it may not be read.
            PolicyForbids: the URL is not one of the web, and the caller may not name others.
        """
        try:
            scheme = urlsplit(url).scheme.lower()
        except ValueError as fault:
            raise LocationInvalid(f"That is no URL: {fault}", url=url[:255]) from fault
        if scheme in _WEB:
            return self._on_the_web(url)
        self.policy.enforce(context, "add_stored_location", {})
        place = self.executor.submit(self._locate, url).result()
        if place is not None:
            return place
        raise LocationInvalid("No store here has a blob at that URL", url=url[:255])

    def url_of(self, location: Location) -> str | None:
        """The URL of a copy; None if its store does not tell."""
        store = self.stores.get(location.store)
        if store is None:
            return None
        try:
            return self.executor.submit(store.location, location.key).result()
        except KiloError as fault:
            log.warning("store %s does not tell a location: %s", location.store, fault)
            return None

    def _on_the_web(self, url: str) -> Place:
        readers = [
            name for name in self.offered if Capability.WRITE not in self.stores[name].capabilities
        ]
        if not readers:
            raise LocationInvalid(
                "Data on the web is not read here: no store of the driver http is configured",
                url=url[:255],
            )
        try:
            size = self.executor.submit(self.stores[readers[0]].size, url).result()
        except (InvalidInput, NotFound) as fault:
            raise LocationInvalid(fault.message, url=url[:255]) from fault
        return Place(Location(readers[0], url, ours=False), size)

    def _locate(self, url: str) -> Place | None:
        kept = {
            name: self.stores[name]
            for name in self.offered
            if Capability.WRITE in self.stores[name].capabilities
        }
        found = locate(kept, url)
        if found is None:
            return None
        name, key = found
        return Place(Location(name, key), self.stores[name].size(key))
