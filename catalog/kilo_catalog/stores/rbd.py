"""Blobs as images in a Ceph pool, through Ceph's own bindings (`rados` and `rbd`).

    KEY.part   being written
    KEY        whole, with the protected snapshot `snap` that computes make clones of

The bindings come with Ceph and not from PyPI. They block natively and need no thread of their own.
"""

import errno
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC
from functools import partial
from typing import Any

import rados
import rbd

from kilo_catalog.stores.ahead import AheadReader
from kilo_catalog.stores.base import (
    BlobExists,
    BlobNotFound,
    BlobReader,
    BlobStore,
    BlobWriter,
    Capability,
    StoreFull,
    StoreUnavailable,
    StoreUsage,
    Unfinished,
    check_key,
)
from kilo_catalog.stores.settings import RbdSettings, StoreSettings
from kilo_common.errors import KiloError

SNAPSHOT = "snap"
_PART = ".part"
_OFFSET = "kilostack.offset"
_GROWTH = 64 << 20


class RbdStore(BlobStore):
    """Blobs in a pool."""

    driver = "rbd"
    capabilities = frozenset({Capability.WRITE, Capability.ADOPT_OWN})

    def __init__(self, settings: RbdSettings) -> None:
        """Use the pool that the settings name; the cluster is connected to at the first use."""
        self._settings = settings
        self._connecting = threading.Lock()
        self._cluster: Any = None

    @classmethod
    def from_settings(cls, settings: StoreSettings) -> "RbdStore":
        return cls(settings.rbd)

    def create(self, key: str) -> BlobWriter:
        check_key(key)
        with self.pool() as pool:
            if self._has(pool, key):
                raise BlobExists(f"There is a blob {key} already", key=key)
            order = self._settings.object_size.bit_length() - 1
            try:
                rbd.RBD().create(pool, key + _PART, 0, order, old_format=False)
            except rbd.ImageExists:
                raise BlobExists(f"A blob {key} has been begun already", key=key) from None
        return _RbdWriter(self, key, 0)

    def resume(self, key: str) -> BlobWriter:
        check_key(key)
        with self.pool() as pool:
            if self._has(pool, key):
                raise BlobExists(f"The blob {key} is whole", key=key)
            try:
                with closing(rbd.Image(pool, key + _PART)) as image:
                    offset = int(dict(image.metadata_list()).get(_OFFSET, "0"))
            except rbd.ImageNotFound:
                raise BlobNotFound(f"No blob {key} was begun", key=key) from None
        return _RbdWriter(self, key, offset)

    def open(self, key: str, offset: int = 0, length: int | None = None) -> BlobReader:
        size = self.size(key)
        end = size if length is None else min(size, offset + length)
        return AheadReader(partial(self._fetch, key), offset, end)

    def size(self, key: str) -> int:
        check_key(key)
        with self.pool() as pool:
            try:
                with closing(rbd.Image(pool, key, read_only=True)) as image:
                    return int(image.size())
            except rbd.ImageNotFound:
                raise BlobNotFound(f"There is no blob {key}", key=key) from None

    def delete(self, key: str) -> bool:
        check_key(key)
        with self.pool() as pool:
            begun = self._remove(pool, key + _PART)
            return self._remove(pool, key) or begun

    def keys(self) -> Iterator[str]:
        with self.pool() as pool:
            return iter([name for name in rbd.RBD().list(pool) if not name.endswith(_PART)])

    def unfinished(self) -> Iterator[Unfinished]:
        found: list[Unfinished] = []
        with self.pool() as pool:
            for name in rbd.RBD().list(pool):
                if not name.endswith(_PART):
                    continue
                try:
                    with closing(rbd.Image(pool, name, read_only=True)) as image:
                        touched = image.modify_timestamp().replace(tzinfo=UTC)
                except rbd.ImageNotFound:
                    continue
                found.append(Unfinished(name.removesuffix(_PART), touched))
        return iter(found)

    def location(self, key: str) -> str:
        self.size(key)
        with self.pool():
            fsid = self._cluster.get_fsid()
        return f"rbd://{fsid}/{self._settings.pool}/{key}/{SNAPSHOT}"

    def usage(self) -> StoreUsage:
        sizes: list[int] = []
        with self.pool() as pool:
            for name in rbd.RBD().list(pool):
                if not name.endswith(_PART):
                    with closing(rbd.Image(pool, name, read_only=True)) as image:
                        sizes.append(int(image.size()))
            free = int(self._cluster.get_cluster_stats()["kb_avail"]) << 10
        return StoreUsage(len(sizes), sum(sizes), sum(sizes), free)

    def adopt(
        self, key: str, source: BlobStore, source_key: str, digest: str | None = None
    ) -> bool:
        check_key(key)
        if not isinstance(source, RbdStore):
            return False
        if source._settings.config_file != self._settings.config_file:
            return False
        source.size(source_key)
        with source.pool() as other, self.pool() as pool:
            if self._has(pool, key):
                raise BlobExists(f"There is a blob {key} already", key=key)
            try:
                with closing(rbd.Image(other, source_key, SNAPSHOT, read_only=True)) as image:
                    image.deep_copy(pool, key + _PART)
            except rbd.ImageExists:
                raise BlobExists(f"A blob {key} has been begun already", key=key) from None
        size = source.size(source_key)
        _RbdWriter(self, key, size).commit(digest)
        return True

    @contextmanager
    def pool(self) -> Iterator[Any]:
        """The pool, with the bindings' errors raised as the interface's own."""
        try:
            with self._connecting:
                if self._cluster is None:
                    cluster = rados.Rados(
                        conffile=self._settings.config_file, rados_id=self._settings.user
                    )
                    cluster.connect(timeout=self._settings.connect_timeout)
                    self._cluster = cluster
            with closing(self._cluster.open_ioctx(self._settings.pool)) as pool:
                yield pool
        except (rbd.ImageNotFound, rbd.ImageExists):
            raise
        except (rbd.Error, rados.Error) as fault:
            if getattr(fault, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                raise StoreFull(f"The pool takes no more: {fault}") from fault
            raise StoreUnavailable(f"Ceph does not do it: {fault}") from fault

    def _has(self, pool: Any, key: str) -> bool:
        try:
            rbd.Image(pool, key, read_only=True).close()
        except rbd.ImageNotFound:
            return False
        return True

    def _remove(self, pool: Any, name: str) -> bool:
        try:
            with closing(rbd.Image(pool, name)) as image:
                for snapshot in list(image.list_snaps()):
                    if image.is_protected_snap(snapshot["name"]):
                        image.unprotect_snap(snapshot["name"])
                    image.remove_snap(snapshot["name"])
            rbd.RBD().remove(pool, name)
        except rbd.ImageNotFound:
            return False
        return True

    def _fetch(self, key: str, offset: int, length: int) -> bytes:
        with self.pool() as pool:
            try:
                with closing(rbd.Image(pool, key, SNAPSHOT, read_only=True)) as image:
                    return bytes(image.read(offset, length))
            except rbd.ImageNotFound:
                raise BlobNotFound(
                    f"The blob {key} was deleted while it was read", key=key
                ) from None


class _RbdWriter(BlobWriter):
    """Opens the image anew for each call, so that these may come from any thread."""

    def __init__(self, store: RbdStore, key: str, offset: int) -> None:
        self._store = store
        self._key = key
        self._offset = offset
        self._ended = False

    @property
    def offset(self) -> int:
        return self._offset

    def write(self, data: bytes | memoryview) -> None:
        with self._image() as image:
            end = self._offset + len(data)
            if image.size() < end:
                image.resize(end + _GROWTH)
            image.write(bytes(data), self._offset)
            self._offset = end

    def commit(self, digest: str | None = None) -> int:
        del digest
        with self._image() as image:
            image.resize(self._offset)
            image.flush()
            image.create_snap(SNAPSHOT)
            image.protect_snap(SNAPSHOT)
        with self._store.pool() as pool:
            try:
                rbd.RBD().rename(pool, self._key + _PART, self._key)
            except rbd.ImageExists:
                self.cancel()
                raise BlobExists(f"There is a blob {self._key} already", key=self._key) from None
        self._ended = True
        return self._offset

    def cancel(self) -> None:
        if self._ended:
            return
        self._ended = True
        try:
            with self._store.pool() as pool:
                self._store._remove(pool, self._key + _PART)
        except KiloError:
            return  # it is listed as unfinished, and the reaper comes back to it

    def suspend(self) -> int:
        with self._image() as image:
            image.flush()
            image.metadata_set(_OFFSET, str(self._offset))
        self._ended = True
        return self._offset

    @contextmanager
    def _image(self) -> Iterator[Any]:
        with self._store.pool() as pool:
            try:
                image = rbd.Image(pool, self._key + _PART)
            except rbd.ImageNotFound:
                raise StoreUnavailable(
                    f"The blob {self._key} was deleted while it was written", key=self._key
                ) from None
            with closing(image):
                yield image
