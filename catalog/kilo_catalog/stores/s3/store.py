"""The S3 driver.

    blobs/KEY    a blob, or what says which content it shares (`content.py`)
    uploads/KEY  the journal of a blob that was begun, or is being removed: what to clean up
    tails/KEY    the end of a suspended upload, too short to be a part

A blob is sent in parts and appears when these are completed. The journal is written before anything
that would be left over, and removed last.
"""

from collections.abc import Iterator
from functools import partial

from msgspec import json

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
from kilo_catalog.stores.s3.content import SharedContent
from kilo_catalog.stores.s3.objects import Found, Gone, S3Objects, Taken
from kilo_catalog.stores.s3.writer import Journal, S3Writer
from kilo_catalog.stores.settings import S3Settings, StoreSettings
from kilo_common.errors import ConfigInvalid
from kilo_common.ids import random_id

_COPY_PART = 1 << 30
_journal = json.Decoder(Journal)


class S3Store(BlobStore):
    """Blobs in a bucket."""

    driver = "s3"
    capabilities = frozenset({Capability.WRITE, Capability.PRESIGN, Capability.ADOPT_OWN})

    def __init__(self, settings: S3Settings, *, deduplicate: bool = False) -> None:
        """Use the bucket that the settings name; it is first asked for when a verb is called.

        Raises:
            ConfigInvalid: they name none.
        """
        if not settings.bucket:
            raise ConfigInvalid("An s3 store needs a bucket: set stores.NAME.s3.bucket")
        self._objects = S3Objects(settings)
        self._content = SharedContent(_Names(self._objects))
        self._deduplicate = deduplicate

    @classmethod
    def from_settings(cls, settings: StoreSettings) -> "S3Store":
        return cls(settings.s3, deduplicate=settings.deduplicate)

    def create(self, key: str) -> BlobWriter:
        return self._begin(check_key(key))

    def resume(self, key: str) -> BlobWriter:
        check_key(key)
        if self._objects.exists(f"blobs/{key}"):
            raise BlobExists(f"The blob {key} is whole", key=key)
        journal = self._read_journal(key)
        if journal is None or not journal.upload_id:
            raise BlobNotFound(f"No blob {key} was begun", key=key)
        try:
            return S3Writer.resumed(self._objects, self._content, key, journal)
        except Gone:
            raise BlobNotFound(f"What was begun of blob {key} is gone", key=key) from None

    def open(self, key: str, offset: int = 0, length: int | None = None) -> BlobReader:
        name, found = self._find(key)
        end = found.size if length is None else min(found.size, offset + length)
        return AheadReader(partial(self._fetch, name, found.etag), offset, end)

    def size(self, key: str) -> int:
        return self._find(key)[1].size

    def delete(self, key: str) -> bool:
        check_key(key)
        objects = self._objects
        journal = self._read_journal(key)
        try:
            blob: Found | None = objects.get(f"blobs/{key}")
        except Gone:
            blob = None
        if journal is None and blob is None:
            return False
        plan = journal or Journal(target=f"blobs/{key}")
        content = blob.metadata.get("content", "") if blob else ""
        if content and content not in plan.contents:
            # Written down first: the blob is what says which content it shares.
            digest = blob.metadata.get("digest", "") if blob else ""
            plan = Journal(plan.target, plan.upload_id, digest, (*plan.contents, content))
            objects.put(f"uploads/{key}", json.encode(plan))
        objects.delete(f"blobs/{key}")
        if plan.upload_id:
            objects.abort(plan.target, plan.upload_id)
        for each in plan.contents:
            self._content.release(each, plan.digest, key)
        objects.delete(f"tails/{key}")
        objects.delete(f"uploads/{key}")
        return True

    def keys(self) -> Iterator[str]:
        for found in self._objects.list("blobs/"):
            yield found.name

    def unfinished(self) -> Iterator[Unfinished]:
        for found in self._objects.list("uploads/"):
            yield Unfinished(found.name, found.modified)

    def location(self, key: str) -> str:
        settings = self._objects.settings
        return f"s3://{settings.bucket}/{settings.prefix}{self._find(key)[0]}"

    def usage(self) -> StoreUsage:
        blobs = list(self._objects.list("blobs/"))
        alone = sum(each.size for each in blobs)
        contents = {each.name: each.size for each in self._objects.list("data/")}
        refs = [each.name.partition("/")[0] for each in self._objects.list("refs/")]
        shared = sum(contents.get(each, 0) for each in refs)
        return StoreUsage(len(blobs), alone + shared, alone + sum(contents.values()))

    def adopt(
        self, key: str, source: BlobStore, source_key: str, digest: str | None = None
    ) -> bool:
        check_key(key)
        if not isinstance(source, S3Store) or not self._same_server(source):
            return False
        name, found = source._find(source_key)
        theirs = source._objects.settings
        place = {"Bucket": theirs.bucket, "Key": theirs.prefix + name}
        writer = self._begin(key)
        try:
            for start in range(0, found.size, _COPY_PART):
                writer.copy(place, range(start, min(found.size, start + _COPY_PART)))
            writer.commit(digest or found.metadata.get("digest"))
        except BaseException:
            writer.cancel()
            raise
        return True

    def presign(self, key: str, seconds: int) -> str | None:
        return self._objects.presign(self._find(key)[0], seconds)

    def _begin(self, key: str) -> S3Writer:
        objects = self._objects
        content = f"{key}.{random_id().replace('-', '')}" if self._deduplicate else ""
        target = f"data/{content}" if content else f"blobs/{key}"
        upload_id = objects.begin(target)
        journal = Journal(target, upload_id, "", (content,) if content else ())
        try:
            objects.put(f"uploads/{key}", json.encode(journal), if_absent=True)
        except Taken:
            objects.abort(target, upload_id)
            raise BlobExists(f"A blob {key} has been begun already", key=key) from None
        # Looked for after the journal is ours: nobody commits it from now on.
        if objects.exists(f"blobs/{key}"):
            objects.abort(target, upload_id)
            objects.delete(f"uploads/{key}")
            raise BlobExists(f"There is a blob {key} already", key=key)
        return S3Writer(objects, self._content, key, journal)

    def _find(self, key: str) -> tuple[str, Found]:
        """Where the bytes of a blob are, and what is known of them."""
        try:
            found = self._objects.get(f"blobs/{check_key(key)}")
            content = found.metadata.get("content")
            if not content:
                return found.name, found
            data = self._objects.get(f"data/{content}")
        except Gone:
            raise BlobNotFound(f"There is no blob {key}", key=key) from None
        return data.name, Found(data.name, data.size, data.modified, data.etag, found.metadata)

    def _fetch(self, name: str, etag: str, offset: int, length: int) -> bytes:
        try:
            return self._objects.read(name, offset, length, etag)
        except (Gone, Taken):  # 412: it is another object now
            raise BlobNotFound("The blob was deleted while it was read") from None

    def _read_journal(self, key: str) -> Journal | None:
        try:
            return _journal.decode(self._objects.read(f"uploads/{key}"))
        except Gone:
            return None

    def _same_server(self, other: "S3Store") -> bool:
        ours, theirs = self._objects.settings, other._objects.settings
        return (ours.endpoint, ours.access_key) == (theirs.endpoint, theirs.access_key)


class _Names:
    """The objects as `SharedContent` asks for them."""

    def __init__(self, objects: S3Objects) -> None:
        self._objects = objects
        self.put = objects.put
        self.delete = objects.delete
        self.exists = objects.exists

    def names(self, folder: str) -> Iterator[str]:
        for found in self._objects.list(folder):
            yield found.name
