"""The blob store drivers by name. Others come from the entry points of `kilostack.stores`."""

from typing import Any

from kilo_catalog.stores.base import BlobStore
from kilo_catalog.stores.settings import StoreSettings
from kilo_common.errors import ConfigInvalid
from kilo_common.registry import Driver, DriverTable

STORES = DriverTable(
    "blob store",
    {
        "filesystem": Driver("kilo_catalog.stores.filesystem:FilesystemStore"),
        "s3": Driver("kilo_catalog.stores.s3.store:S3Store", "kilostack[s3]"),
        "swift": Driver("kilo_catalog.stores.swift.store:SwiftStore", "kilostack[swift]"),
        "rbd": Driver("kilo_catalog.stores.rbd:RbdStore", "rados and rbd, of your Ceph"),
        "sql": Driver("kilo_catalog.stores.sql:SqlStore"),
        "http": Driver("kilo_catalog.stores.http:HttpStore"),
        "memory": Driver("kilo_catalog.stores.memory:MemoryStore"),
    },
    group="kilostack.stores",
)


def open_store(driver: str, path: str = "", **options: Any) -> BlobStore:
    """A store of that driver; `options` are fields of `StoreSettings`. Raises as
    `open_configured`."""
    return open_configured(StoreSettings(driver=driver, path=path, **options))


def open_configured(settings: StoreSettings) -> BlobStore:
    """The store that the settings describe.

    Raises:
        DriverUnknown, DriverUnavailable: see `DriverTable.load`.
        ConfigInvalid: the driver cannot work with these settings.
    """
    kind = STORES.load(settings.driver)
    if not (isinstance(kind, type) and issubclass(kind, BlobStore)):
        raise ConfigInvalid(
            f"The blob store driver {settings.driver!r} is not a BlobStore", driver=settings.driver
        )
    return kind.from_settings(settings)
