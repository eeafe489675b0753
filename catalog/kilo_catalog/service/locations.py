"""The operations on the copies of an image's data: show, add, change, remove."""

import logging
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from kilo_catalog.db.base import Doomed, Transaction, UnitOfWork
from kilo_catalog.domain.image import Image, ImageStatus, Location, check_version
from kilo_catalog.domain.import_request import ImportMethod, ImportRequest
from kilo_catalog.domain.location_bodies import (
    Claimed,
    LocationChange,
    Verb,
    parse_changes,
    parse_location,
)
from kilo_catalog.domain.locations import (
    LocationSettings,
    check_claim,
    check_list,
    check_settled,
    leave_store,
    take_up,
)
from kilo_catalog.errors import (
    AttributeForbidden,
    LocationNotFound,
    StatusConflict,
    StoreNotFound,
)
from kilo_catalog.service.access import Access
from kilo_catalog.service.blob_removal import BlobRemoval, doom
from kilo_catalog.service.events import EventRecorder
from kilo_catalog.service.imports import Imports, check_free
from kilo_catalog.service.intake import formats_of
from kilo_catalog.service.places import Place, Places
from kilo_catalog.service.quotas import ProjectQuotas
from kilo_catalog.stores.base import BlobStore
from kilo_common.clock import Clock
from kilo_common.context import RequestContext
from kilo_common.errors import KiloError

log = logging.getLogger(__name__)
Shown = dict[str, Any]


@dataclass(frozen=True)
class Locations:
    """The copies of images, and what stores hold."""

    unit_of_work: UnitOfWork
    access: Access
    events: EventRecorder
    removal: BlobRemoval
    stores: Mapping[str, BlobStore]
    executor: Executor
    clock: Clock
    quotas: ProjectQuotas
    places: Places
    imports: Imports
    settings: LocationSettings

    def list(self, context: RequestContext, image_id: str) -> Sequence[Shown]:
        """All copies: `url`, and `metadata` with the `store`.

        Raises:
            ImageNotFound, PolicyForbids: see `Access.find`.
        """
        image = self.unit_of_work.read(
            lambda tx: self.access.find(tx, context, image_id, "get_image_locations")
        )
        return self._shown(image)

    def attributes(self, image: Image) -> Shown:
        """What the settings let an image show of its copies: `direct_url`, `locations`."""
        settings = self.settings
        if not (settings.show_direct_url or settings.show_multiple_locations):
            return {}
        found = self._shown(image)
        shown: Shown = {}
        if settings.show_direct_url and found:
            shown["direct_url"] = found[0]["url"]
        if settings.show_multiple_locations:
            shown["locations"] = found
        return shown

    def add(self, context: RequestContext, image_id: str, body: object) -> None:
        """Fill a queued image with data that is somewhere already, and stays there.

        It is read, hashed and inspected first, by a task, unless the settings say otherwise.

        Raises:
            LocationInvalid: the body is malformed, or names nothing that can be read.
            ImageNotFound, PolicyForbids: see `Access.find`.
            FormatsMissing, ImportConflict, StatusConflict: the image cannot take it.
            QuotaExceeded: the project has no room.
        """
        claimed = parse_location(body)
        # Seen before a store is asked: nobody learns of URLs through images of others.
        self.unit_of_work.read(
            lambda tx: self.access.find(tx, context, image_id, "add_image_location")
        )
        if self.settings.do_secure_hash:
            method = {
                "name": ImportMethod.LOCATION.value,
                "uri": claimed.url,
                "os_hash_value": claimed.hash_value,
                "checksum": claimed.checksum,
            }
            request = ImportRequest(
                method=ImportMethod.LOCATION,
                uri=claimed.url,
                hash_value=claimed.hash_value,
                checksum=claimed.checksum,
            )
            self.imports.begin(context, image_id, {"method": method}, request)
            return
        place = self.places.find(context, claimed.url)

        def work(transaction: Transaction) -> None:
            image = self.access.find(transaction, context, image_id, "add_image_location")
            self._take_up(transaction, context, image, place, claimed)

        self.unit_of_work.write(work)

    def patch(
        self,
        context: RequestContext,
        image_id: str,
        body: Sequence[object],
        expected: Collection[int] | None = None,
    ) -> Image:
        """Change the list of copies.

        Raises:
            AttributeForbidden: the settings do not allow it.
            PatchInvalid, LocationInvalid: the document is malformed, or names nothing that can be
                read.
            ImageNotFound, PolicyForbids: see `Access.find`.
            VersionMismatch: the image is not of an expected version.
            StatusConflict, StatusForbids, LocationNotFound, ClaimContradicted, LimitExceeded: the
                image cannot be changed so.
        """
        if not self.settings.show_multiple_locations:
            raise AttributeForbidden(
                "It's not allowed to change locations here: catalog.locations.show_multiple_"
                "locations is off",
                attribute="locations",
            )
        changes = parse_changes(body)
        seen = self.unit_of_work.read(
            lambda tx: self.access.find(tx, context, image_id, "set_image_location")
        )
        known = {each["url"]: location for each, location in self._pairs(seen)}
        new = {
            claimed.url: self.places.find(context, claimed.url)
            for change in changes
            for claimed in change.entries
            if claimed.url not in known
        }

        def work(transaction: Transaction) -> tuple[Image, Sequence[Doomed]]:
            image = self.access.find(transaction, context, image_id, "set_image_location")
            check_version(image, expected)
            if image.locations != seen.locations:
                raise StatusConflict("The locations have changed; try again", image_id=image_id)
            for change in changes:
                image = self._change(transaction, context, image, change, known, new)
            gone = [each for each in seen.locations if each not in image.locations]
            kept_keys = {(each.store, each.key) for each in image.locations}
            orphans = [each for each in gone if (each.store, each.key) not in kept_keys]
            self.events.record(transaction, context, "image.update", image)
            return image, doom(transaction, orphans, self.clock.now())

        image, doomed = self.unit_of_work.write(work)
        self.removal.remove_now(doomed)
        return image

    def leave_store(self, context: RequestContext, store: str, image_id: str) -> None:
        """Remove the image's data from one of the stores that have it.

        Raises:
            ImageNotFound, PolicyForbids: see `Access.find`.
            StoreNotFound, LocationNotFound: there is no such store, or no data in it.
            StatusConflict: the image has no data yet, or is being imported.
            StatusForbids: no other store has it.
        """
        now = self.clock.now()

        def work(transaction: Transaction) -> Sequence[Doomed]:
            image = self.access.find(transaction, context, image_id, "delete_image_location")
            if store not in self.stores:
                raise StoreNotFound(
                    f"There is no store {store[:64]!r}; stores are: {', '.join(self.stores)}",
                    store=store[:64],
                )
            left, gone = leave_store(image, store, now)
            kept = transaction.images.update(left)
            self.events.record(transaction, context, "image.update", kept)
            return doom(transaction, gone, now)

        self.removal.remove_now(self.unit_of_work.write(work))

    def usage(self, store: str) -> dict[str, int | None] | None:
        """What a store holds, in bytes and blobs; None if it does not say."""
        try:
            found = self.executor.submit(self.stores[store].usage).result()
        except KiloError as fault:
            log.warning("store %s does not say what it holds: %s", store, fault)
            return None
        return {
            "blobs": found.blobs,
            "size": found.size,
            "stored": found.stored,
            "free": found.free,
        }

    def _shown(self, image: Image) -> Sequence[Shown]:
        return [shown for shown, _location in self._pairs(image)]

    def _pairs(self, image: Image) -> Sequence[tuple[Shown, Location]]:
        pairs = []
        for each in image.locations:
            url = self.places.url_of(each)
            if url is not None:
                metadata = {**dict(each.metadata), "store": each.store}
                pairs.append(({"url": url, "metadata": metadata}, each))
        return pairs

    def _change(
        self,
        transaction: Transaction,
        context: RequestContext,
        image: Image,
        change: LocationChange,
        known: Mapping[str, Location],
        new: Mapping[str, Place],
    ) -> Image:
        """The image after one operation, kept."""
        if image.status is ImageStatus.QUEUED and len(change.entries) == 1:
            (claimed,) = change.entries
            return self._take_up(transaction, context, image, new[claimed.url], claimed)
        check_settled(image)
        locations = list(image.locations)
        if change.verb is Verb.REMOVE:
            if change.index is None or change.index >= len(locations):
                raise LocationNotFound(f"Image {image.id} has no location {change.index}")
            del locations[change.index]
        else:
            entries = [self._entry(transaction, image, each, known, new) for each in change.entries]
            if change.verb is Verb.REPLACE:
                locations = entries
            else:
                at = len(locations) if change.index is None else change.index
                locations[at:at] = entries
        check_list(image, locations)
        changed = structs.replace(image, locations=tuple(locations), updated_at=self.clock.now())
        return transaction.images.update(changed)

    def _entry(
        self,
        transaction: Transaction,
        image: Image,
        claimed: Claimed,
        known: Mapping[str, Location],
        new: Mapping[str, Place],
    ) -> Location:
        if claimed.url in known:
            check_claim(image, claimed, image.size or 0)
            return structs.replace(known[claimed.url], metadata=claimed.metadata)
        place = new[claimed.url]
        check_claim(image, claimed, place.size)
        check_free(transaction, place.location)
        return structs.replace(place.location, metadata=claimed.metadata)

    def _take_up(
        self,
        transaction: Transaction,
        context: RequestContext,
        image: Image,
        place: Place,
        claimed: Claimed,
    ) -> Image:
        """Make a queued image active with data that nobody has looked at."""
        if image.status is not ImageStatus.QUEUED:
            raise StatusConflict(
                f"Image {image.id} is {image.status.value}; it must be queued",
                image_id=image.id,
                status=image.status.value,
            )
        formats_of(image)
        check_free(transaction, place.location)
        self.quotas.room(transaction, image.owner).check(place.size)
        location = structs.replace(place.location, metadata=claimed.metadata)
        taken = take_up(image, location, place.size, claimed, self.clock.now())
        kept = transaction.images.update(taken)
        self.events.record(transaction, context, "image.activate", kept)
        return kept
