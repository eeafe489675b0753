"""What an operator does with stores: read everything again and compare, copy, move.

It works on records and stores directly, beside whatever else uses them: every change of a record is
one transaction, and a copy is written down as doomed until its image has it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from msgspec import Struct, structs

from kilo_catalog.db.base import Doomed, Transaction, UnitOfWork
from kilo_catalog.domain.image import Image, Location
from kilo_catalog.domain.locations import check_settled, leave_store
from kilo_catalog.errors import LocationNotFound, StatusConflict, StoreNotFound
from kilo_catalog.service.blob_removal import BlobRemoval, doom
from kilo_catalog.service.events import EventRecorder
from kilo_catalog.stores import transfer
from kilo_catalog.stores.base import BlobNotFound, BlobStore, Capability, StoreUsage
from kilo_catalog.stores.transfer import DataDamaged, Fingerprint, Progress
from kilo_common.clock import Clock
from kilo_common.context import system_context
from kilo_common.errors import KiloError
from kilo_common.ids import IdSource

PAGE = 200
COPY_TIME = timedelta(days=1)
"""How long a copy may take; one that is not an image's by then is removed."""


class Problem(Enum):
    """What is wrong with a blob."""

    DAMAGED = "damaged"
    """Its bytes are not those that were recorded."""
    MISSING = "missing"
    """An image has it, and its store does not."""
    UNREADABLE = "unreadable"
    """It could not be read this time."""
    UNKNOWN = "unknown"
    """A store has it, and no image does. A task may be at work on it."""


class Finding(Struct, frozen=True):
    """One blob with a problem."""

    problem: Problem
    store: str
    key: str
    image_id: str | None
    message: str


class Copy(Struct, frozen=True):
    """One copy of one image's data."""

    image: Image
    location: Location

    @property
    def expected(self) -> Fingerprint | None:
        """What its bytes are known by: the sha512, otherwise the md5; None if neither is."""
        image = self.image
        if image.size is None:
            return None
        if image.os_hash_algo and image.os_hash_value:
            return Fingerprint(image.size, image.os_hash_algo, image.os_hash_value)
        return Fingerprint(image.size, "md5", image.checksum) if image.checksum else None


@dataclass(frozen=True)
class StoreCare:
    """Looks after the stores of a catalog."""

    unit_of_work: UnitOfWork
    stores: Mapping[str, BlobStore]
    removal: BlobRemoval
    events: EventRecorder
    clock: Clock
    new_id: IdSource

    def usage(self, store: str) -> StoreUsage:
        """What a store holds. Raises StoreNotFound, StoreUnavailable."""
        return self.find(store).usage()

    def find(self, name: str) -> BlobStore:
        """The store of that name.

        Raises:
            StoreNotFound: there is none, or it cannot be looked into from here.
        """
        if name not in self.stores:
            raise StoreNotFound(
                f"There is no store {name[:64]!r}; stores are: {', '.join(self.stores)}",
                store=name[:64],
            )
        store = self.stores[name]
        if Capability.ONE_PROCESS in store.capabilities:
            raise StoreNotFound(
                f"The store {name!r} is in the memory of the process that serves it",
                store=name,
            )
        return store

    def copies(self, stores: Sequence[str], image_ids: Sequence[str] = ()) -> Iterator[Copy]:
        """The copies that images have in these stores; of these images, or of all.

        Raises:
            StoreNotFound; ImageNotFound: there is no such image.
        """
        for name in stores:
            self.find(name)
        for image in self._images(image_ids):
            for location in image.locations:
                if location.store in stores:
                    yield Copy(image, location)

    def verify(self, copy: Copy, progress: Progress | None = None) -> Finding | None:
        """Read a copy to its end; what is wrong with it, if anything is."""
        store = self.stores[copy.location.store]
        try:
            if copy.expected is not None:
                transfer.verify(store, copy.location.key, copy.expected, progress)
            else:
                transfer.fingerprint(store, copy.location.key, progress=progress)
        except DataDamaged as fault:
            return self._finding(copy, Problem.DAMAGED, fault)
        except BlobNotFound as fault:
            return self._finding(copy, Problem.MISSING, fault)
        except KiloError as fault:
            return self._finding(copy, Problem.UNREADABLE, fault)
        return None

    def unknown(self, store: str) -> Iterator[Finding]:
        """Blobs of a store that no image has, nor is getting, and that nobody is to remove.

        Raises:
            StoreNotFound, StoreUnavailable.
        """
        known = {
            location.key
            for image in self._images(())
            for location in image.locations
            if location.store == store
        }
        everything = self.find(store).keys()
        for key in everything:
            if key not in known and not self._is_known(store, key):
                yield Finding(Problem.UNKNOWN, store, key, None, f"No image has the blob {key}")

    def copy(self, copy: Copy, target: str, progress: Progress | None = None) -> Location:
        """Give an image its data in another store as well: where it is then.

        Raises:
            StoreNotFound, StoreReadOnly, StoreFull, StoreUnavailable, DataDamaged: it has none
                there, and nothing is left of the attempt.
            StatusConflict: the image has it there already, or is being imported.
        """
        return self._copy(copy, target, progress, leave=False)

    def move(self, copy: Copy, target: str, progress: Progress | None = None) -> Location:
        """Give an image its data in another store instead. Raises as `copy`."""
        return self._copy(copy, target, progress, leave=True)

    def _copy(self, copy: Copy, target: str, progress: Progress | None, *, leave: bool) -> Location:
        check_settled(copy.image)
        if any(each.store == target for each in copy.image.locations):
            raise StatusConflict(f"Image {copy.image.id} is in store {target} already")
        place = Location(target, self.new_id())
        store = self.find(target)
        due = self.clock.now() + COPY_TIME
        self.unit_of_work.write(lambda tx: tx.doomed.add(Doomed(place.store, place.key, due)))
        try:
            transfer.copy(
                self.stores[copy.location.store], copy.location.key, store, place.key,
                expected=copy.expected, progress=progress,
            )  # fmt: skip
            if copy.expected is not None:  # a copy by the server or the file system was not read
                transfer.verify(store, place.key, copy.expected)
            doomed = self.unit_of_work.write(self._placing(copy, place, leave=leave))
        except BaseException:
            now = self.clock.now()
            self.removal.remove_now([Doomed(place.store, place.key, now)])
            raise
        self.removal.remove_now(doomed)
        return place

    def _placing(
        self, copy: Copy, place: Location, *, leave: bool
    ) -> Callable[[Transaction], Sequence[Doomed]]:
        def work(transaction: Transaction) -> Sequence[Doomed]:
            now = self.clock.now()
            image = transaction.images.get(copy.image.id)
            check_settled(image)
            if copy.location not in image.locations:
                raise LocationNotFound(
                    f"Image {image.id} has lost its data in {copy.location.store} meanwhile"
                )
            changed = structs.replace(image, locations=(*image.locations, place), updated_at=now)
            gone: Sequence[Location] = ()
            if leave:
                changed, gone = leave_store(changed, copy.location.store, now)
            transaction.doomed.remove(place.store, place.key)
            kept = transaction.images.update(changed)
            context = system_context(image.owner)
            self.events.record(transaction, context, "image.update", kept)
            return doom(transaction, gone, now)

        return work

    def _is_known(self, store: str, key: str) -> bool:
        """Whether an image is getting a blob by now, or somebody is to remove it."""
        return self.unit_of_work.read(
            lambda tx: tx.images.has_blob(store, key) or tx.doomed.has(store, key)
        )

    def _images(self, image_ids: Sequence[str]) -> Iterator[Image]:
        if image_ids:
            for each in image_ids:
                yield self.unit_of_work.read(lambda tx, each=each: tx.images.get(each))  # type: ignore[misc]  # as above
            return
        after = ""
        while page := self.unit_of_work.read(
            lambda tx, after=after: tx.images.list_with_data(after, PAGE)  # type: ignore[misc]  # as above
        ):
            yield from page
            after = page[-1].id

    def _finding(self, copy: Copy, problem: Problem, fault: KiloError) -> Finding:
        location = copy.location
        return Finding(problem, location.store, location.key, copy.image.id, fault.message)
