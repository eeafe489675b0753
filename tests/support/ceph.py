"""Stands in for Ceph's bindings `rados` and `rbd`, as far as our driver calls them: the same names,
arguments and errors, over dictionaries. The bindings cannot be had from PyPI."""

from datetime import UTC, datetime
from types import ModuleType
from typing import Any, ClassVar


class Error(OSError):
    """The root of the bindings' errors."""


class ImageNotFound(Error):
    pass


class ImageExists(Error):
    pass


class ImageBusy(Error):
    pass


class Stored:
    """An image in a pool."""

    def __init__(self, size: int) -> None:
        self.data = bytearray(size)
        self.metadata: dict[str, str] = {}
        self.snaps: dict[str, bool] = {}
        self.modified = datetime.now(UTC).replace(tzinfo=None)


class Image:
    def __init__(
        self, ioctx: "Pool", name: str, snapshot: str | None = None, read_only: bool = False
    ) -> None:
        if name not in ioctx.images:
            raise ImageNotFound(2, f"no image {name}")
        self._stored = ioctx.images[name]
        if snapshot is not None and snapshot not in self._stored.snaps:
            raise ImageNotFound(2, f"no snapshot {snapshot}")

    def close(self) -> None:
        """Nothing is held."""

    def size(self) -> int:
        return len(self._stored.data)

    def resize(self, size: int) -> None:
        del self._stored.data[size:]
        self._stored.data.extend(bytes(size - len(self._stored.data)))

    def write(self, data: bytes, offset: int) -> int:
        if offset + len(data) > self.size():
            raise Error(22, "past the end")
        self._stored.data[offset : offset + len(data)] = data
        return len(data)

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self._stored.data[offset : offset + length])

    def flush(self) -> None:
        """It is all there."""

    def metadata_set(self, key: str, value: str) -> None:
        self._stored.metadata[key] = value

    def metadata_list(self) -> Any:
        return iter(self._stored.metadata.items())

    def modify_timestamp(self) -> datetime:
        return self._stored.modified

    def create_snap(self, name: str) -> None:
        self._stored.snaps[name] = False

    def list_snaps(self) -> Any:
        return ({"name": name} for name in list(self._stored.snaps))

    def protect_snap(self, name: str) -> None:
        self._stored.snaps[name] = True

    def unprotect_snap(self, name: str) -> None:
        self._stored.snaps[name] = False

    def is_protected_snap(self, name: str) -> bool:
        return self._stored.snaps[name]

    def remove_snap(self, name: str) -> None:
        if self._stored.snaps[name]:
            raise ImageBusy(16, "protected")
        del self._stored.snaps[name]

    def deep_copy(self, ioctx: "Pool", name: str) -> None:
        if name in ioctx.images:
            raise ImageExists(17, name)
        copy = ioctx.images[name] = Stored(0)
        copy.data[:] = self._stored.data


class RBD:
    def create(
        self, ioctx: "Pool", name: str, size: int, order: int, old_format: bool = True
    ) -> None:
        if name in ioctx.images:
            raise ImageExists(17, name)
        ioctx.images[name] = Stored(size)

    def remove(self, ioctx: "Pool", name: str) -> None:
        if ioctx.images[name].snaps:
            raise ImageBusy(39, "has snapshots")
        del ioctx.images[name]

    def rename(self, ioctx: "Pool", name: str, new: str) -> None:
        if new in ioctx.images:
            raise ImageExists(17, new)
        if name not in ioctx.images:
            raise ImageNotFound(2, name)
        ioctx.images[new] = ioctx.images.pop(name)

    def list(self, ioctx: "Pool") -> list[str]:
        return list(ioctx.images)


class Pool:
    def __init__(self, images: dict[str, Stored]) -> None:
        self.images = images

    def close(self) -> None:
        """Nothing is held."""


class Rados:
    pools: ClassVar[dict[str, dict[str, Stored]]] = {}

    def __init__(self, conffile: str, rados_id: str) -> None:
        self.conffile = conffile

    def connect(self, timeout: float) -> None:
        if self.conffile == "/missing":
            raise Error(2, "no cluster")

    def open_ioctx(self, pool: str) -> Pool:
        return Pool(self.pools.setdefault(pool, {}))

    def get_fsid(self) -> str:
        return "5f1b1b9e-0000-4000-8000-000000000000"

    def get_cluster_stats(self) -> dict[str, int]:
        return {"kb_avail": 1024}


def modules() -> dict[str, ModuleType]:
    """The two modules, by name."""
    rados, rbd = ModuleType("rados"), ModuleType("rbd")
    for module, names in ((rados, (Rados,)), (rbd, (RBD, Image, ImageNotFound, ImageExists))):
        for each in (*names, Error):
            setattr(module, each.__name__, each)
    return {"rados": rados, "rbd": rbd}
