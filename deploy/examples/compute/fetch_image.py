"""What a compute host does with an image: metadata by openstacksdk, bytes straight from the store.

    OS_CLOUD=kilostack python fetch_image.py --stores stores.toml IMAGE FILE

`stores.toml` names the stores that this host can reach, as the catalog's own configuration does:

    [main]
    driver = "filesystem"
    path = "/srv/kilostack/images"

The file appears at FILE only when its bytes are those that the catalog has recorded. From a store
on the same file system no byte is copied. Where the host may not know the locations, or no store
gives the right bytes, the Image API gives them.
"""

import argparse
import hashlib
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import openstack

from kilo_catalog.stores.base import BlobStore
from kilo_catalog.stores.registry import open_configured
from kilo_catalog.stores.settings import StoreSettings
from kilo_catalog.stores.transfer import DataDamaged, Fingerprint, check, fetch_to, locate
from kilo_common.errors import KiloError


def open_stores(file: Path) -> dict[str, BlobStore]:
    """The stores of a TOML file, by name."""
    tables = tomllib.loads(file.read_text())
    return {
        name: open_configured(msgspec.convert(table, StoreSettings))
        for name, table in tables.items()
    }


def locations_of(cloud: Any, image_id: str) -> list[str]:
    """The URLs of an image's copies; none if we may not know them (that takes the role service)."""
    answer = cloud.image.get(f"/images/{image_id}/locations")
    return [each["url"] for each in answer.json()] if answer.status_code == 200 else []


def fetch_from_store(
    stores: Mapping[str, BlobStore], url: str, target: Path, expected: Fingerprint
) -> str:
    """Make the blob at a URL our file; what was done, in words. Raises KiloError."""
    found = locate(stores, url)
    if found is None:
        raise DataDamaged("none of the stores here has it", url=url)
    name, key = found
    shared = fetch_to(stores[name], key, target, expected)
    return f"handed over by store {name}" if shared else f"copied from store {name}"


def fetch_from_api(cloud: Any, image_id: str, target: Path, expected: Fingerprint) -> str:
    """Download it. Raises DataDamaged."""
    hasher, size = hashlib.new(expected.algorithm), 0
    temporary = target.with_name(f".{target.name}.part")
    try:
        with temporary.open("wb") as file:
            for block in cloud.image.download_image(image_id, stream=True).iter_content(1 << 20):
                file.write(block)
                hasher.update(block)
                size += len(block)
        check(image_id, Fingerprint(size, expected.algorithm, hasher.hexdigest()), expected)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return "downloaded through the API"


def fetch(cloud: Any, stores: Mapping[str, BlobStore], name: str, target: Path) -> str:
    """The image as a verified file; where it came from, in words."""
    image = cloud.image.find_image(name, ignore_missing=False)
    if image.status != "active" or not image.hash_value:
        raise SystemExit(f"image {image.id} is {image.status}; nothing to fetch")
    expected = Fingerprint(image.size, image.hash_algo, image.hash_value)
    for url in locations_of(cloud, image.id):
        try:
            return fetch_from_store(stores, url, target, expected)
        except KiloError as fault:
            print(f"not from {url}: {fault.message}", file=sys.stderr)
    return fetch_from_api(cloud, image.id, target, expected)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image")
    parser.add_argument("file", type=Path)
    parser.add_argument("--stores", type=Path, required=True)
    options = parser.parse_args()
    cloud = openstack.connect()
    try:
        done = fetch(cloud, open_stores(options.stores), options.image, options.file)
    except KiloError as fault:
        raise SystemExit(f"{options.image}: {fault.message}") from fault
    print(f"{options.file}: {done}, verified")


if __name__ == "__main__":
    main()
