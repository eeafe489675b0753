"""The blob store drivers by name. Others come from the entry points of `kilostack.stores`."""

from kilo_catalog.stores.base import BlobStore
from kilo_common.errors import ConfigInvalid
from kilo_common.registry import Driver, DriverTable

STORES = DriverTable(
    "blob store",
    {
        "filesystem": Driver("kilo_catalog.stores.filesystem:FilesystemStore"),
        "memory": Driver("kilo_catalog.stores.memory:MemoryStore"),
    },
    group="kilostack.stores",
)


def open_store(driver: str, path: str = "") -> BlobStore:
    """A store of that driver.

    Raises:
        DriverUnknown, DriverUnavailable: see `DriverTable.load`.
        ConfigInvalid: the driver cannot work with that path.
    """
    store = STORES.load(driver)(path)
    if not isinstance(store, BlobStore):
        raise ConfigInvalid(f"The blob store driver {driver!r} is not a BlobStore", driver=driver)
    return store
