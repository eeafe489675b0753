"""One node's cache of images whose data is far away: the bytes in a folder, the records beside all
others.

A cached blob's key is made of its image and of where its data is, which never stands for other
bytes: an image whose data changes has it elsewhere, and the old blob is no hit any more. The record
is made once the blob is whole. A blob without a record is removed in time; a record without its
blob is found out by whoever wants to read it.
"""

import hashlib
import logging
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import closing
from datetime import timedelta
from typing import BinaryIO

from msgspec import structs

from kilo_catalog.db.base import Transaction, UnitOfWork
from kilo_catalog.db.base_cache import CacheEntry
from kilo_catalog.domain.image import Image, Location
from kilo_catalog.errors import ImageNotFound
from kilo_catalog.service.cached_reading import CachedReading
from kilo_catalog.stores.base import BlobExists, BlobReader, BlobStore
from kilo_common.clock import Clock
from kilo_common.errors import KiloError

log = logging.getLogger(__name__)
STALLED = timedelta(hours=1)
"""After so long without a byte, a blob that is being cached has no writer any more."""
_BLOCK = 4 << 20


class ImageCache:
    """The cache of the node that this process is on. Several processes of a node may share it."""

    def __init__(
        self,
        unit_of_work: UnitOfWork,
        store: BlobStore,
        node: str,
        executor: Executor,
        clock: Clock,
        most: int,
    ) -> None:
        """`store` is a folder on this machine that nothing else uses; `most` bytes of it are kept
        at most."""
        self.node = node
        self._unit_of_work = unit_of_work
        self._store = store
        self._executor = executor
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        self._hits: Counter[str] = Counter()

    def open(self, image: Image) -> BinaryIO | None:
        """The image's data as a file, if it is cached; that counts as a hit."""
        entry = self._unit_of_work.read(lambda tx: tx.cache.find(self.node, image.id))
        if entry is None or entry.cached_at is None:
            return None
        file = None
        if any(key_of(image, each) == entry.blob for each in image.locations):
            file = self._executor.submit(_open, self._store, entry.blob).result()
        if file is None:
            self.drop([entry])
            return None
        with self._lock:
            self._hits[image.id] += 1
        return file

    def through(self, image: Image, location: Location, reader: BlobReader) -> BlobReader:
        """A reader of the same that caches what it reads, if that is all of the image's data; or
        `reader` itself, if something speaks against it."""
        if image.size is None or image.size > self._most:
            return reader
        try:
            writer = self._executor.submit(self._store.create, key_of(image, location)).result()
        except BlobExists:
            return reader  # another reader is at it
        except KiloError as fault:
            log.warning("image %s is not cached: %s", image.id, fault)
            return reader
        key = key_of(image, location)
        return CachedReading(reader, writer, image, self._executor, lambda: self._keep(image, key))

    def fill(self, image: Image, location: Location, source: BlobStore) -> None:
        """Cache an image's data before anybody asks for it.

        Raises:
            StoreFull, StoreUnavailable, BlobNotFound: it cannot be read, or not be kept.
        """
        key = key_of(image, location)
        adopt = self._store.adopt
        try:
            adopted = self._executor.submit(adopt, key, source, location.key).result()
        except BlobExists:  # its record may have been lost with a process
            adopted = self._executor.submit(self._store.size, key).result() == image.size
        if adopted:
            self._keep(image, key)
            return
        reader = self._executor.submit(source.open, location.key).result()
        with closing(self.through(image, location, reader)) as through:
            while through is not reader and self._executor.submit(through.read, _BLOCK).result():
                continue

    def entries(self) -> Sequence[CacheEntry]:
        """What is cached here and what is in line, the one used longest ago first."""
        self.count_hits()
        return self._unit_of_work.read(lambda tx: tx.cache.list_node(self.node))

    def count_hits(self) -> None:
        """Write down the hits of this process. Those that it has not are lost with it."""
        with self._lock:
            hits, self._hits = self._hits, Counter()
        now = self._clock.now()

        def work(transaction: Transaction) -> None:
            for image_id, count in hits.items():
                entry = transaction.cache.find(self.node, image_id)
                if entry is not None and entry.cached_at is not None:
                    used = structs.replace(entry, hits=entry.hits + count, accessed_at=now)
                    transaction.cache.put(used)

        if hits:
            self._unit_of_work.write(work)

    def drop(self, entries: Sequence[CacheEntry]) -> None:
        """Forget entries, and remove what they keep. Readers at work go on to their end."""

        def work(transaction: Transaction) -> None:
            for each in entries:
                transaction.cache.remove(each.node, each.image_id)

        self._unit_of_work.write(work)
        for each in entries:
            self._remove(each.blob)

    def prune(self) -> int:
        """Drop what was used longest ago until the rest is as small as it must be; how many."""
        cached = [each for each in self.entries() if each.cached_at is not None]
        size = sum(each.size for each in cached)
        gone = []
        for each in cached:
            if size <= self._most:
                break
            gone.append(each)
            size -= each.size
        if gone:
            self.drop(gone)
        return len(gone)

    def clean(self) -> int:
        """Drop what is of no use: of images that are gone, without a record, or never finished;
        how many."""
        entries = self.entries()
        gone = self._unit_of_work.read(
            lambda tx: [each for each in entries if not _is_there(tx, each.image_id)]
        )
        if gone:
            self.drop(gone)
        stray = self._executor.submit(self._stray, {each.blob for each in entries}).result()
        for key in stray:
            self._remove(key)
        return len(gone) + len(stray)

    def _stray(self, known: set[str]) -> list[str]:
        stalled = self._clock.now() - STALLED
        unfinished = [each.key for each in self._store.unfinished() if each.touched_at < stalled]
        return [*unfinished, *(set(self._store.keys()) - known)]

    def _keep(self, image: Image, key: str) -> None:
        """Make the record of a blob that is here now, and make room for it."""
        now = self._clock.now()
        entry = CacheEntry(
            node=self.node,
            image_id=image.id,
            size=image.size or 0,
            cached_at=now,
            accessed_at=now,
            blob=key,
        )

        def work(transaction: Transaction) -> CacheEntry | None:
            transaction.images.get(image.id)
            before = transaction.cache.find(self.node, image.id)
            transaction.cache.put(entry)
            return before

        try:
            before = self._unit_of_work.write(work)
        except ImageNotFound:
            self._remove(key)
            return
        if before is not None and before.blob != key:
            self._remove(before.blob)
        self.prune()

    def _remove(self, key: str) -> None:
        if not key:
            return
        try:
            self._executor.submit(self._store.delete, key).result()
        except KiloError as fault:
            log.warning("the cached blob %s stays for now: %s", key, fault)


def key_of(image: Image, location: Location) -> str:
    """The key of an image's cached blob. No other image's data can get under it."""
    place = hashlib.sha256(f"{location.store}/{location.key}".encode()).hexdigest()
    return f"{image.id}-{place[:32]}"


def _open(store: BlobStore, key: str) -> BinaryIO | None:
    try:
        path = store.local_file(key)
        return None if path is None else path.open("rb", buffering=0)
    except (OSError, KiloError):
        return None


def _is_there(transaction: Transaction, image_id: str) -> bool:
    try:
        transaction.images.get(image_id)
    except ImageNotFound:
        return False
    return True
