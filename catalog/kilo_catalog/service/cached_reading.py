"""Reads a blob from far away and keeps what it reads: the way into a node's cache."""

import hashlib
import logging
from collections.abc import Callable
from concurrent.futures import Executor

from kilo_catalog.domain.image import Image
from kilo_catalog.stores.base import BlobReader, BlobWriter
from kilo_common.errors import KiloError

log = logging.getLogger(__name__)


class CachedReading(BlobReader):
    """A reader whose bytes are written beside being read. Nothing that goes wrong with that is the
    reader's concern; only all of the bytes, and the right ones, are kept."""

    def __init__(
        self,
        source: BlobReader,
        writer: BlobWriter,
        image: Image,
        executor: Executor,
        kept: Callable[[], None],
    ) -> None:
        """`kept` is called, by who closes, once the blob is whole."""
        self._source = source
        self._writer: BlobWriter | None = writer
        self._image = image
        self._executor = executor
        self._kept = kept
        self._digest = hashlib.new(image.os_hash_algo) if image.os_hash_algo else None

    def read(self, size: int) -> bytes:
        data = self._source.read(size)
        writer = self._writer
        if data and writer is not None:
            try:
                writer.write(data)
            except KiloError as fault:
                log.warning("image %s is not cached: %s", self._image.id, fault)
                self._writer = None
                writer.cancel()
            if self._digest is not None:
                self._digest.update(data)
        return data

    def close(self) -> None:
        self._source.close()
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            if self._executor.submit(self._end, writer).result():
                self._kept()
        except KiloError as fault:
            log.warning("image %s is not cached: %s", self._image.id, fault)

    def _end(self, writer: BlobWriter) -> bool:
        try:
            if writer.offset != self._image.size:
                return False  # the client went away
            value = self._digest.hexdigest() if self._digest is not None else None
            if value != self._image.os_hash_value:
                log.error("image %s: what was read from its store is damaged", self._image.id)
                return False
            writer.commit(value)
            return True
        finally:
            writer.cancel()
