"""Takes the bytes of one request into a store, under the claim that it has on its image.

Upload and staging are the same up to the last transaction, which is the caller's.
"""

import base64
import binascii
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

from kilo_catalog.domain.image import DataFacts, Image
from kilo_catalog.domain.limits import Limits
from kilo_catalog.errors import FormatsMissing, ImageTooLarge, StoreUnknown, UploadMismatch
from kilo_catalog.imaging.detection import open_inspector
from kilo_catalog.service.blob_removal import BlobRemoval
from kilo_catalog.service.ingest import Block, ingest
from kilo_catalog.service.quotas import Room
from kilo_catalog.service.upload_claims import Upload, UploadClaims
from kilo_catalog.stores.base import BlobStore, BlobWriter
from kilo_common.errors import KiloError

log = logging.getLogger(__name__)


class Blocks(Protocol):
    """The bytes of a request."""

    def __iter__(self) -> Iterator[Block]: ...

    def give_back(self, block: Block, /) -> None:
        """Let a block be used for other bytes."""
        ...


@dataclass(frozen=True)
class Declared:
    """What a request says about the data it brings."""

    size: int | None = None
    md5: str | None = None
    """As Content-MD5 has it: base64 (RFC 1864), or the 32 hexadecimal digits many send."""
    store: str | None = None


@dataclass(frozen=True)
class Intake:
    """The way of bytes from a request into a store."""

    claims: UploadClaims
    removal: BlobRemoval
    stores: Mapping[str, BlobStore]
    offered: Sequence[str]
    """The stores that clients may name."""
    executor: Executor
    limits: Limits

    def check_store(self, name: str) -> None:
        """Return if clients may have data put into the store of that name.

        Raises:
            StoreUnknown: there is none, or it is not theirs, or only reads.
        """
        if name not in self.offered:
            raise StoreUnknown(
                f"No data can be put into a store {name[:64]!r}; stores are: "
                f"{', '.join(self.offered)}",
                store=name[:64],
            )

    def run(
        self,
        upload: Upload,
        room: Room,
        blocks: Blocks,
        declared: Declared,
        finish: Callable[[DataFacts], Image],
    ) -> Image:
        """Take in all blocks, then do what `finish` does with what they were.

        Whatever breaks it leaves nothing behind: no blob, and the image `queued` as before. Raises
        as `ImageData.upload`, and what `finish` raises.
        """
        self.claims.hold(upload)
        writer: BlobWriter | None = None
        try:
            store = self.stores[upload.claim.store]
            writer = self.executor.submit(store.create, upload.claim.id).result()
            return finish(self._take_in(upload, room, writer, blocks, declared))
        except BaseException:  # GreenletExit as well: whatever ends an upload must undo it
            self._undo(upload, writer)
            raise
        finally:
            self.claims.let_go(upload)

    def check_size(self, size: int) -> None:
        """Return if an image may have so many bytes.

        Raises:
            ImageTooLarge: it may not.
        """
        if size > self.limits.image_size:
            raise ImageTooLarge(
                f"An image may have at most {self.limits.image_size} bytes",
                limit=self.limits.image_size,
            )

    def _take_in(
        self,
        upload: Upload,
        room: Room,
        writer: BlobWriter,
        blocks: Blocks,
        declared: Declared,
    ) -> DataFacts:
        disk_format, container_format = formats_of(upload.image)

        def check(size: int) -> None:
            self.claims.check(upload)
            self.check_size(size)
            room.check(size)

        facts = ingest(
            blocks,
            writer,
            open_inspector(disk_format, container_format),
            self.executor,
            check=check,
            give_back=blocks.give_back,
        )
        _compare(declared, facts)
        self.executor.submit(writer.commit, facts.os_hash_value).result()
        return facts

    def _undo(self, upload: Upload, writer: BlobWriter | None) -> None:
        """Give the image back and remove what was written. Whatever fails here the reaper does."""
        try:
            if writer is not None:
                self.executor.submit(writer.cancel).result()
            self.removal.remove_now(self.claims.abandon(upload))
        except KiloError as fault:
            log.warning("upload %s is left to the reaper: %s", upload.claim.id, fault)


def formats_of(image: Image) -> tuple[str, str]:
    """The image's disk and container formats.

    Raises:
        FormatsMissing: one is not set.
    """
    if image.disk_format is None or image.container_format is None:
        raise FormatsMissing(
            "Properties disk_format, container_format must be set prior to saving data.",
            image_id=image.id,
        )
    return image.disk_format, image.container_format


def _compare(declared: Declared, facts: DataFacts) -> None:
    """Refuse data that is not what its request's headers say."""
    if declared.size is not None and declared.size != facts.size:
        raise UploadMismatch(
            f"The request declares {declared.size} bytes and brings {facts.size}",
            declared=declared.size,
            received=facts.size,
        )
    if declared.md5 is not None and _md5_hex(declared.md5) != facts.checksum:
        raise UploadMismatch(
            f"Content-MD5 is {declared.md5[:64]!r}, but the data's md5 is {facts.checksum}",
            declared=declared.md5[:64],
            received=facts.checksum,
        )


def _md5_hex(text: str) -> str:
    if len(text) == 32:
        return text.lower()
    try:
        return base64.b64decode(text, validate=True).hex()
    except (binascii.Error, ValueError):
        raise UploadMismatch("Content-MD5 is not an md5", declared=text[:64]) from None
