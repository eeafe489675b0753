"""Writes one blob to Swift: segments, and at the end the manifest that makes them one."""

import hashlib
import logging

from kilo_catalog.stores.base import BlobExists, BlobWriter, StoreFull, StoreUnavailable
from kilo_catalog.stores.swift.objects import Gone, Segment, SwiftObjects, Taken
from kilo_common.errors import KiloError

log = logging.getLogger(__name__)
MOST_SEGMENTS = 1000
"""What a Swift as it is installed takes in one manifest."""


class SwiftWriter(BlobWriter):
    """Segments of one upload. One is in memory until it is sent."""

    def __init__(self, objects: SwiftObjects, key: str, token: str) -> None:
        self._objects = objects
        self._key = key
        self._token = token
        self._sent: list[int] = []
        self._buffer = bytearray()
        self._ended = False

    @classmethod
    def resumed(cls, objects: SwiftObjects, key: str, token: str) -> "SwiftWriter":
        """A writer that goes on where another stopped."""
        writer = cls(objects, key, token)
        found = objects.list(objects.segments, f"{key}/{token}/")
        writer._sent = [segment.size for segment in found]
        return writer

    @property
    def offset(self) -> int:
        return sum(self._sent) + len(self._buffer)

    def write(self, data: bytes | memoryview) -> None:
        self._buffer += data
        while len(self._buffer) >= self._objects.settings.segment_size:
            self._send(self._objects.settings.segment_size)

    def copy(self, source: str, size: int) -> None:
        """Let the server append a segment of another blob. Raises Gone."""
        self._objects.copy_segment(source, self._next())
        self._sent.append(size)

    def commit(self, digest: str | None = None) -> int:
        del digest
        self._send(len(self._buffer))
        objects, name = self._objects, f"blobs/{self._key}"
        try:
            self._check_token()
            if self._sent:
                objects.put_manifest(name, list(self._manifest()))
            else:
                objects.put(objects.container, name, if_absent=True)
        except Taken:
            self.cancel()
            raise BlobExists(f"There is a blob {self._key} already", key=self._key) from None
        self._ended = True
        objects.delete(objects.container, f"uploads/{self._key}")
        return sum(self._sent)

    def cancel(self) -> None:
        if self._ended:
            return
        self._ended = True
        objects = self._objects
        try:
            for found in list(objects.list(objects.segments, f"{self._key}/{self._token}/")):
                objects.delete(objects.segments, found.name)
            if objects.read(f"uploads/{self._key}") == self._token.encode():
                objects.delete(objects.container, f"uploads/{self._key}")
        except Gone:
            return
        except KiloError as fault:
            log.warning("the unfinished blob %s stays for now: %s", self._key, fault)

    def suspend(self) -> int:
        self._send(len(self._buffer))
        self._ended = True
        return self.offset

    def _send(self, size: int) -> None:
        if not size:
            return
        if len(self._sent) >= MOST_SEGMENTS:
            raise StoreFull(
                f"A blob has at most {MOST_SEGMENTS} segments; set a greater swift.segment_size"
            )
        data = bytes(memoryview(self._buffer)[:size])
        etag = self._objects.put(self._objects.segments, self._next(), data)
        if etag != hashlib.md5(data, usedforsecurity=False).hexdigest():
            raise StoreUnavailable("The object store has received other bytes than were sent")
        del self._buffer[:size]
        self._sent.append(size)

    def _next(self) -> str:
        return f"{self._key}/{self._token}/{len(self._sent):08d}"

    def _manifest(self) -> list[Segment]:
        prefix = f"{self._key}/{self._token}/"
        return [
            Segment(f"/{self._objects.segments}/{prefix}{number:08d}", size)
            for number, size in enumerate(self._sent)
        ]

    def _check_token(self) -> None:
        try:
            if self._objects.read(f"uploads/{self._key}") == self._token.encode():
                return
        except Gone:
            pass
        raise StoreUnavailable(
            f"The blob {self._key} was deleted while it was written", key=self._key
        )
