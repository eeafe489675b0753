"""The example of a compute host, beside a stack: from the store, and from the API where need be."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from kilo_deploy.accounts import sign_in
from kilo_deploy.client import ApiClient
from kilo_deploy.state import StackInfo
from support.clients import Clients

pytestmark = pytest.mark.clients
ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy" / "examples" / "compute" / "fetch_image.py"


@dataclass(frozen=True)
class Uploaded:
    """An image of the stack's first account."""

    id: str
    data: bytes
    folder: Path
    """The folder of the store that has it."""


@pytest.fixture
def image(kilostack: StackInfo) -> Uploaded:
    catalog = ApiClient(kilostack.catalog_url, sign_in(kilostack, kilostack.project, {}))
    record = {"name": "compute", "disk_format": "raw", "container_format": "bare"}
    image_id = catalog.json("POST", "/v2/images", record)["id"]
    data = os.urandom(300_000)
    catalog.upload(f"/v2/images/{image_id}/file", iter([data]), len(data))
    (place,) = catalog.json("GET", f"/v2/images/{image_id}/locations")
    return Uploaded(image_id, data, Path(unquote(urlsplit(place["url"]).path)).parents[1])


def run(clients: Clients, tmp_path: Path, images: Path, image_id: str) -> tuple[Path, str, str]:
    """The file it makes, and what it says."""
    stores = tmp_path / "stores.toml"
    stores.write_text(f'[main]\ndriver = "filesystem"\npath = {json.dumps(str(images))}\n')
    target = tmp_path / "disk.raw"
    # The clients' environment is apart from Kilostack's: the library comes from the sources.
    path = [str(ROOT / "common"), str(ROOT / "catalog")]
    script = f"import sys, runpy; sys.path[:0] = {path!r}; sys.argv[0] = 'x'; "
    script += f"runpy.run_path({str(EXAMPLE)!r}, run_name='__main__')"
    arguments = ("--stores", str(stores), image_id, str(target))
    done = clients.run("python", "-c", script, *arguments)
    return target, done.stdout, done.stderr


def test_a_store_on_this_machine_hands_the_file_over(
    clients: Clients, tmp_path: Path, image: Uploaded
) -> None:
    target, said, _ = run(clients, tmp_path, image.folder, image.id)
    assert said.endswith("handed over by store main, verified\n")
    assert target.read_bytes() == image.data


def test_damaged_bytes_in_the_store_are_not_taken(
    clients: Clients, tmp_path: Path, image: Uploaded
) -> None:
    blob = image.folder / "blobs"
    (path,) = (each for each in blob.iterdir() if each.read_bytes() == image.data)
    path.write_bytes(image.data[:-1] + bytes([image.data[-1] ^ 1]))
    with pytest.raises(AssertionError, match="not from file://"):
        run(clients, tmp_path, image.folder, image.id)
    assert not (tmp_path / "disk.raw").exists()


def test_a_host_that_reaches_no_store_asks_the_api(
    clients: Clients, tmp_path: Path, image: Uploaded
) -> None:
    target, said, why = run(clients, tmp_path, tmp_path / "empty", image.id)
    assert said.endswith("downloaded through the API, verified\n")
    assert "not from file://" in why
    assert target.read_bytes() == image.data
