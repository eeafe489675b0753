"""Writes one blob to S3: parts, the journal, and at the end perhaps a shared content."""

import hashlib
import logging
import time
from collections.abc import Mapping

from msgspec import Struct, json, structs

from kilo_catalog.stores.base import BlobExists, BlobWriter, StoreUnavailable
from kilo_catalog.stores.s3.content import SharedContent
from kilo_catalog.stores.s3.objects import Gone, Part, S3Objects, Taken
from kilo_common.errors import KiloError

log = logging.getLogger(__name__)
LEAST_PART = 5 << 20
"""S3 takes no smaller part but the last."""
_TOUCH = 600.0
_READ_BACK = 8 << 20


class Journal(Struct, frozen=True):
    """What there is to clean up of a blob that is begun and not whole, or not quite removed."""

    target: str
    """The object that its parts become."""
    upload_id: str = ""
    digest: str = ""
    contents: tuple[str, ...] = ()
    """Contents it may need."""


class S3Writer(BlobWriter):
    """Parts of one upload. A part is in memory until it is sent."""

    def __init__(
        self, objects: S3Objects, content: SharedContent, key: str, journal: Journal
    ) -> None:
        self._objects = objects
        self._content = content
        self._key = key
        self._journal = journal
        self._parts: list[Part] = []
        self._sent = 0
        self._buffer = bytearray()
        self._touched = time.monotonic()
        self._ended = False

    @classmethod
    def resumed(
        cls, objects: S3Objects, content: SharedContent, key: str, journal: Journal
    ) -> "S3Writer":
        """A writer that goes on where another stopped. Raises Gone if the upload was given up."""
        writer = cls(objects, content, key, journal)
        writer._parts = list(objects.parts(journal.target, journal.upload_id))
        writer._sent = sum(part.size for part in writer._parts)
        try:
            tail = objects.get(f"tails/{key}")
        except Gone:
            return writer
        if tail.metadata.get("offset") == str(writer._sent):
            writer._buffer += objects.read(f"tails/{key}")
        return writer

    @property
    def offset(self) -> int:
        return self._sent + len(self._buffer)

    def write(self, data: bytes | memoryview) -> None:
        self._buffer += data
        size = self._objects.settings.part_size
        while len(self._buffer) >= size:
            self._send(size)
        if time.monotonic() - self._touched > _TOUCH:
            self._note(self._journal)

    def copy(self, source: Mapping[str, str], part: range) -> None:
        """Let the server append a range of another object."""
        number = len(self._parts) + 1
        try:
            sent = self._objects.send_copy(
                self._journal.target, self._journal.upload_id, number, source, part
            )
        except Gone:
            raise _lost(self._key) from None
        self._parts.append(sent)
        self._sent += sent.size

    def commit(self, digest: str | None = None) -> int:
        if self._buffer or not self._parts:
            self._send(len(self._buffer))
        if self._journal.contents:
            self._commit_shared(digest or "")
        else:
            self._complete()
        self._ended = True
        self._objects.delete(f"tails/{self._key}")
        self._objects.delete(f"uploads/{self._key}")
        return self._sent

    def cancel(self) -> None:
        if self._ended:
            return
        self._ended = True
        journal, objects = self._journal, self._objects
        try:
            objects.abort(journal.target, journal.upload_id)
            for each in journal.contents:
                self._content.release(each, journal.digest, self._key)
            objects.delete(f"tails/{self._key}")
            objects.delete(f"uploads/{self._key}")
        except (KiloError, Gone) as fault:
            log.warning("the unfinished blob %s stays for now: %s", self._key, fault)
        self._buffer = bytearray()

    def suspend(self) -> int:
        self._ended = True
        try:
            if len(self._buffer) >= LEAST_PART:
                self._send(len(self._buffer))
            elif self._buffer:
                self._objects.put(
                    f"tails/{self._key}", bytes(self._buffer), {"offset": str(self._sent)}
                )
            self._note(self._journal)
        except Gone:
            raise _lost(self._key) from None
        return self.offset

    def _send(self, size: int) -> None:
        data = bytes(memoryview(self._buffer)[:size])
        number = len(self._parts) + 1
        try:
            part = self._objects.send(self._journal.target, self._journal.upload_id, number, data)
        except Gone:
            raise _lost(self._key) from None
        del self._buffer[:size]
        self._parts.append(part)
        self._sent += size

    def _note(self, journal: Journal) -> None:
        """Write the journal anew: with other contents, or to show that it is alive."""
        self._journal = journal
        self._objects.put(f"uploads/{self._key}", json.encode(journal))
        self._touched = time.monotonic()

    def _complete(self) -> None:
        journal = self._journal
        try:
            self._objects.complete(journal.target, journal.upload_id, self._parts)
        except Taken:
            self.cancel()
            raise BlobExists(f"There is a blob {self._key} already", key=self._key) from None
        except Gone:
            raise _lost(self._key) from None

    def _commit_shared(self, digest: str) -> None:
        """Make the blob one that shares a content: one that is there, or our own."""
        key, (own, *_rest) = self._key, self._journal.contents
        self._note(structs.replace(self._journal, digest=digest))
        content = self._attach(digest) if digest else None
        if content is not None:
            self._objects.abort(self._journal.target, self._journal.upload_id)
        else:
            self._content.need(own, key)
            self._complete()
            if not digest:
                digest = self._read_back()
                self._note(structs.replace(self._journal, digest=digest))
            self._content.announce(own, digest)
            # Of two that announce at the same time at least one sees the other.
            content = self._attach(digest, below=own) or own
        facts = {"content": content, "digest": digest}
        try:
            self._objects.put(f"blobs/{key}", b"", facts, if_absent=True)
        except Taken:
            self.cancel()
            raise BlobExists(f"There is a blob {key} already", key=key) from None
        for each in self._journal.contents:
            if each != content:
                self._content.release(each, digest, key)

    def _attach(self, digest: str, below: str | None = None) -> str | None:
        def note(content: str) -> None:
            contents = tuple(dict.fromkeys((*self._journal.contents, content)))
            self._note(structs.replace(self._journal, contents=contents))

        return self._content.attach(digest, self._key, note, below)

    def _read_back(self) -> str:
        digest = hashlib.sha512()
        for start in range(0, self._sent, _READ_BACK):
            digest.update(
                self._objects.read(self._journal.target, start, min(_READ_BACK, self._sent - start))
            )
        return digest.hexdigest()


def _lost(key: str) -> StoreUnavailable:
    return StoreUnavailable(f"The blob {key} was deleted while it was written", key=key)
