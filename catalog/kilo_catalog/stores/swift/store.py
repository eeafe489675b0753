"""The Swift driver.

    CONTAINER            blobs/KEY     a blob: empty, or the manifest of its segments
                         uploads/KEY   the token of whoever writes it
    CONTAINER_segments   KEY/TOKEN/N   the segments, in order

A blob appears when its manifest is put, which the server checks against the segments. Deleting
removes the blob first and then every segment below its key, so that it can be repeated after a
crash.
"""

from collections.abc import Iterator
from functools import partial

from kilo_catalog.stores.ahead import AheadReader
from kilo_catalog.stores.base import (
    BlobExists,
    BlobNotFound,
    BlobReader,
    BlobStore,
    BlobWriter,
    Capability,
    StoreUsage,
    Unfinished,
    check_key,
)
from kilo_catalog.stores.settings import StoreSettings, SwiftSettings
from kilo_catalog.stores.swift.objects import Gone, SwiftObjects, Taken
from kilo_catalog.stores.swift.writer import SwiftWriter
from kilo_common.errors import ConfigInvalid
from kilo_common.ids import random_id


class SwiftStore(BlobStore):
    """Blobs in a container, their bytes in another."""

    driver = "swift"
    capabilities = frozenset({Capability.WRITE, Capability.ADOPT_OWN})

    def __init__(self, settings: SwiftSettings) -> None:
        """Use the containers that the settings name; they are made at the first use.

        Raises:
            ConfigInvalid: they do not say where to sign in.
        """
        if not settings.auth_url:
            raise ConfigInvalid("A swift store needs to sign in: set stores.NAME.swift.auth_url")
        self._objects = SwiftObjects(settings)
        if settings.temp_url_key:
            self.capabilities = self.capabilities | {Capability.PRESIGN}

    @classmethod
    def from_settings(cls, settings: StoreSettings) -> "SwiftStore":
        return cls(settings.swift)

    def create(self, key: str) -> BlobWriter:
        return self._begin(check_key(key))

    def resume(self, key: str) -> BlobWriter:
        check_key(key)
        if self._objects.exists(f"blobs/{key}"):
            raise BlobExists(f"The blob {key} is whole", key=key)
        try:
            token = self._objects.read(f"uploads/{key}").decode()
        except Gone:
            raise BlobNotFound(f"No blob {key} was begun", key=key) from None
        return SwiftWriter.resumed(self._objects, key, token)

    def open(self, key: str, offset: int = 0, length: int | None = None) -> BlobReader:
        size = self.size(key)
        end = size if length is None else min(size, offset + length)
        return AheadReader(partial(self._fetch, key), offset, end)

    def size(self, key: str) -> int:
        try:
            return self._objects.size(f"blobs/{check_key(key)}")
        except Gone:
            raise BlobNotFound(f"There is no blob {key}", key=key) from None

    def delete(self, key: str) -> bool:
        check_key(key)
        objects = self._objects
        whole = objects.delete(objects.container, f"blobs/{key}")
        begun = objects.exists(f"uploads/{key}")
        for segment in list(objects.list(objects.segments, f"{key}/")):
            objects.delete(objects.segments, segment.name)
        if begun:
            objects.delete(objects.container, f"uploads/{key}")
        return whole or begun

    def keys(self) -> Iterator[str]:
        for found in self._objects.list(self._objects.container, "blobs/"):
            yield found.name.removeprefix("blobs/")

    def unfinished(self) -> Iterator[Unfinished]:
        for found in self._objects.list(self._objects.container, "uploads/"):
            yield Unfinished(found.name.removeprefix("uploads/"), found.modified)

    def location(self, key: str) -> str:
        self.size(key)
        return f"swift://{self._objects.container}/blobs/{key}"

    def usage(self) -> StoreUsage:
        blobs = sum(1 for _ in self._objects.list(self._objects.container, "blobs/"))
        segments = self._objects.list(self._objects.segments, "")
        begun = {each.key for each in self.unfinished()}
        size = sum(each.size for each in segments if each.name.partition("/")[0] not in begun)
        return StoreUsage(blobs, size, size)

    def adopt(
        self, key: str, source: BlobStore, source_key: str, digest: str | None = None
    ) -> bool:
        check_key(key)
        if not isinstance(source, SwiftStore) or not self._same_account(source):
            return False
        source.size(source_key)
        theirs = source._objects
        writer = self._begin(key)
        try:
            for segment in theirs.list(theirs.segments, f"{source_key}/"):
                writer.copy(f"{theirs.segments}/{segment.name}", segment.size)
            writer.commit(digest)
        except Gone:
            writer.cancel()
            raise BlobNotFound(f"The blob {source_key} has just been deleted") from None
        except BaseException:
            writer.cancel()
            raise
        return True

    def presign(self, key: str, seconds: int) -> str | None:
        self.size(key)
        if Capability.PRESIGN not in self.capabilities:
            return None
        return self._objects.presign(f"blobs/{key}", seconds)

    def _begin(self, key: str) -> SwiftWriter:
        token = random_id()
        objects = self._objects
        try:
            objects.put(objects.container, f"uploads/{key}", token.encode(), if_absent=True)
        except Taken:
            raise BlobExists(f"A blob {key} has been begun already", key=key) from None
        # Looked for after the upload is ours: nobody commits it from now on.
        if objects.exists(f"blobs/{key}"):
            objects.delete(objects.container, f"uploads/{key}")
            raise BlobExists(f"There is a blob {key} already", key=key)
        return SwiftWriter(objects, key, token)

    def _fetch(self, key: str, offset: int, length: int) -> bytes:
        try:
            return self._objects.read(f"blobs/{key}", offset, length)
        except Gone:
            raise BlobNotFound(f"The blob {key} was deleted while it was read", key=key) from None

    def _same_account(self, other: "SwiftStore") -> bool:
        ours, theirs = self._objects.settings, other._objects.settings
        return (ours.auth_url, ours.user, ours.project, ours.region) == (
            theirs.auth_url, theirs.user, theirs.project, theirs.region,
        )  # fmt: skip
