"""The bytes of artifacts: taken in, read, and links to bytes elsewhere."""

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from msgspec import structs

from kilo_catalog.db.base import Doomed, Transaction, UnitOfWork
from kilo_catalog.domain.artifact import Artifact, ArtifactBlob, ArtifactStatus
from kilo_catalog.domain.artifact_type import Field, Kind
from kilo_catalog.domain.limits import ArtifactLimits
from kilo_catalog.errors import (
    ArtifactBlobExists,
    ArtifactBlobNotFound,
    ArtifactFrozen,
    ArtifactInvalid,
    ImageTooLarge,
    MediaTypeUnsupported,
    QuotaExceeded,
)
from kilo_catalog.service.artifact_access import ArtifactAccess, target
from kilo_catalog.service.artifacts import Artifacts
from kilo_catalog.service.blob_removal import BlobRemoval
from kilo_catalog.service.events import EventRecorder
from kilo_catalog.service.ingest import Block, ingest
from kilo_catalog.service.intake import Blocks
from kilo_catalog.stores.base import BlobReader, BlobStore, BlobWriter
from kilo_common.clock import Clock
from kilo_common.context import RequestContext
from kilo_common.fetch.fetcher import Fetcher
from kilo_common.ids import IdSource

HOLD = timedelta(hours=1)
"""For how long an upload that shows no sign of life keeps its bytes."""
RENEW = timedelta(minutes=5)
LONGEST_PATH = 320


class _Hashed:
    """Blocks on their way, which sha1 and sha256 see as well."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        # Glare's clients compare it; nothing secret rests on it.
        self.sha1 = hashlib.sha1(usedforsecurity=False)
        self.sha256 = hashlib.sha256()

    def __iter__(self) -> Iterator[Block]:
        for block in self._blocks:
            self.sha1.update(block)
            self.sha256.update(block)
            yield block


@dataclass(frozen=True)
class ArtifactBlobs:
    """What may be done with the bytes."""

    unit_of_work: UnitOfWork
    access: ArtifactAccess
    artifacts: Artifacts
    events: EventRecorder
    removal: BlobRemoval
    stores: Mapping[str, BlobStore]
    default_store: str
    executor: Executor
    clock: Clock
    new_id: IdSource
    fetcher: Fetcher
    room: ArtifactLimits

    def upload(
        self,
        context: RequestContext,
        type_name: str,
        artifact_id: str,
        path: str,
        blocks: Blocks,
        content_type: str,
        size: int | None = None,
    ) -> Artifact:
        """Take in bytes. Whatever breaks it leaves nothing behind. `size`: what is announced.

        Raises:
            ArtifactNotFound, PolicyForbids: see `ArtifactAccess.find`.
            ArtifactBlobNotFound: the type has no blob of that path.
            ArtifactBlobExists, ArtifactFrozen: there are bytes, or there can be none any more.
            MediaTypeUnsupported, ImageTooLarge, QuotaExceeded, BodyTruncated, StoreFull,
            StoreUnavailable: nothing was kept.
        """
        doomed = Doomed(self.default_store, self.new_id(), self.clock.now() + HOLD)

        def begin(tx: Transaction) -> tuple[Field, int]:
            found = self.access.find(tx, context, type_name, artifact_id, "modify_artifact")
            field = self._check(tx, found, path)
            _check_content_type(field, content_type)
            room = self.room.size - tx.artifacts.usage(found.owner, found.type_name).size
            tx.doomed.add(doomed)  # forgotten when the artifact has it, removed otherwise
            return field, room

        field, room = self.unit_of_work.write(begin)
        store = self.stores[doomed.store]
        writer: BlobWriter | None = None
        try:
            check = _Check(self, doomed, field, room)
            if size is not None:
                check.size(size)
            writer = self.executor.submit(store.create, doomed.key).result()
            hashed = _Hashed(blocks)
            facts = ingest(
                hashed, writer, None, self.executor, check=check.size, give_back=blocks.give_back
            )
            self.executor.submit(writer.commit, facts.os_hash_value).result()
            blob = ArtifactBlob(
                size=facts.size,
                md5=facts.checksum,
                sha1=hashed.sha1.hexdigest(),
                sha256=hashed.sha256.hexdigest(),
                content_type=content_type,
                store=doomed.store,
                key=doomed.key,
            )
            return self._attach(context, type_name, artifact_id, path, blob)
        except BaseException:  # GreenletExit as well: whatever ends an upload must undo it
            if writer is not None:
                self.executor.submit(writer.cancel).result()
            self.removal.remove_now([structs.replace(doomed, due_at=self.clock.now())])
            raise

    def link(
        self, context: RequestContext, type_name: str, artifact_id: str, path: str, body: object
    ) -> Artifact:
        """Let a blob be one elsewhere: `{"url", "md5", "sha1", "sha256", "content_type"}`.

        Raises as `upload`, and:
            ArtifactInvalid, FetchRefused: the URL or a hash may not be.
        """
        if not isinstance(body, dict) or not isinstance(body.get("url"), str):
            raise ArtifactInvalid("An external location is an object with a url")
        self.fetcher.check(body["url"])
        blob = ArtifactBlob(
            size=None,
            md5=_digest(body, "md5", 32),
            sha1=_digest(body, "sha1", 40),
            sha256=_digest(body, "sha256", 64),
            content_type=str(body.get("content_type") or "application/octet-stream")[:255],
            url=body["url"],
        )
        if blob.md5 is None:
            raise ArtifactInvalid("An external location needs the md5 of its bytes")

        return self._attach(context, type_name, artifact_id, path, blob)

    def unlink(
        self, context: RequestContext, type_name: str, artifact_id: str, path: str
    ) -> Artifact:
        """Forget a link to bytes elsewhere.

        Raises as `ArtifactAccess.find`, and:
            ArtifactBlobNotFound: there is none at that path.
            ArtifactFrozen: the artifact is active, or the bytes are ours.
        """

        def work(tx: Transaction) -> Artifact:
            found = self.access.find(tx, context, type_name, artifact_id, "modify_artifact")
            blob = found.blobs.get(path)
            if blob is None:
                raise ArtifactBlobNotFound(f"There are no bytes at {path[:64]}")
            if not blob.external or found.status is not ArtifactStatus.DRAFTED:
                raise ArtifactFrozen("Only links of an artifact that is drafted can be taken away")
            rest = {name: each for name, each in found.blobs.items() if name != path}
            return self._keep(tx, context, found, rest)

        return self.unit_of_work.write(work)

    def open(
        self, context: RequestContext, type_name: str, artifact_id: str, path: str
    ) -> ArtifactBlob:
        """The blob, if the caller may read it.

        Raises as `ArtifactAccess.find`, and:
            ArtifactBlobNotFound: there is none at that path.
        """
        found = self.unit_of_work.read(
            lambda tx: self.access.find(tx, context, type_name, artifact_id, "download_artifact")
        )
        if found.status is ArtifactStatus.DEACTIVATED:
            self.access.policy.enforce(context, "download_deactivated_artifact", target(found))
        blob = found.blobs.get(path)
        if blob is None:
            raise ArtifactBlobNotFound(f"There are no bytes at {path[:64]}")
        return blob

    def read(self, blob: ArtifactBlob, offset: int, length: int) -> BlobReader:
        """A range of bytes of ours. Raises StoreUnavailable, BlobNotFound."""
        store = self.stores[blob.store]
        return self.executor.submit(store.open, blob.key, offset, length).result()

    def read_block(self, reader: BlobReader, size: int) -> bytes:
        """The next bytes. Raises StoreUnavailable."""
        return self.executor.submit(reader.read, size).result()

    def extend(self, doomed: Doomed) -> datetime:
        """Let an upload go on; until when its bytes are safe now."""
        until = self.clock.now() + HOLD
        self.unit_of_work.write(lambda tx: tx.doomed.extend(doomed.store, doomed.key, until))
        return until

    def _attach(
        self,
        context: RequestContext,
        type_name: str,
        artifact_id: str,
        path: str,
        blob: ArtifactBlob,
    ) -> Artifact:
        def work(tx: Transaction) -> Artifact:
            found = self.access.find(tx, context, type_name, artifact_id, "modify_artifact")
            _check_content_type(self._check(tx, found, path), blob.content_type)
            if not blob.external:
                tx.doomed.remove(blob.store, blob.key)
            return self._keep(tx, context, found, {**found.blobs, path: blob})

        return self.unit_of_work.write(work)

    def _keep(
        self,
        tx: Transaction,
        context: RequestContext,
        artifact: Artifact,
        blobs: Mapping[str, ArtifactBlob],
    ) -> Artifact:
        changed = structs.replace(artifact, blobs=blobs, updated_at=self.clock.now())
        kept = tx.artifacts.update(changed, self.artifacts.kind_of(tx, artifact))
        self.events.record_artifact(tx, context, "artifact.upload", kept)
        return kept

    def _check(self, tx: Transaction, artifact: Artifact, path: str) -> Field:
        """The field of a path that may get bytes now."""
        field = self.artifacts.kind_of(tx, artifact).blob(path)
        if field is None or len(path) > LONGEST_PATH:
            raise ArtifactBlobNotFound(f"{artifact.type_name} have no bytes at {path[:64]}")
        if artifact.status is not ArtifactStatus.DRAFTED and not field.mutable:
            raise ArtifactFrozen(f"An artifact that is {artifact.status} keeps its bytes")
        if path in artifact.blobs:
            raise ArtifactBlobExists(f"There are bytes at {path[:64]} already")
        name = path.partition("/")[0]
        inside = sum(each.partition("/")[0] == name for each in artifact.blobs)
        if field.kind is Kind.FOLDER and inside >= field.most:
            raise QuotaExceeded(f"{name} has at most {field.most} blobs")
        return field


class _Check:
    """Ends an upload that gets too big, and keeps alive one that does not end soon."""

    def __init__(self, blobs: ArtifactBlobs, doomed: Doomed, field: Field, room: int) -> None:
        self._blobs = blobs
        self._doomed = doomed
        self._field = field
        self._room = room
        self._renew_at = doomed.due_at - HOLD + RENEW

    def size(self, size: int) -> None:
        """Return if there may be so many bytes."""
        if size > self._field.max_size:
            raise ImageTooLarge(
                f"There may be at most {self._field.max_size} bytes", limit=self._field.max_size
            )
        if size > self._room:
            raise QuotaExceeded("The project has no room for so many bytes of this type")
        if self._blobs.clock.now() >= self._renew_at:
            self._renew_at = self._blobs.extend(self._doomed) - HOLD + RENEW


def _check_content_type(field: Field, content_type: str) -> None:
    if field.content_types and content_type not in field.content_types:
        raise MediaTypeUnsupported(f"The content type is one of {', '.join(field.content_types)}")


def _digest(body: Mapping[str, Any], name: str, length: int) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    digits = isinstance(value, str) and len(value) == length
    if not digits or set(value.lower()) - set("0123456789abcdef"):
        raise ArtifactInvalid(f"{name} is {length} hexadecimal digits", field=name)
    return str(value).lower()
