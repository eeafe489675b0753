"""`kilostack images` against a running stack."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kilo_deploy.accounts import sign_in
from kilo_deploy.cli import main
from kilo_deploy.client import ApiClient
from kilo_deploy.state import StackInfo
from kilo_deploy.testing import StackProcess

DISK = b"boot".ljust(1 << 20, b"\0") + b"data" * 5000 + bytes(480)
Command = Callable[..., Result]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images") / "state"


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[StackInfo]:
    process = StackProcess(folder, environ={"KILO_AUTH__STRATEGY": "dev"})
    try:
        yield process.wait_ready()
    finally:
        process.kill()


@pytest.fixture
def catalog(stack: StackInfo) -> ApiClient:
    return ApiClient(stack.catalog_url, sign_in(stack, "demo", {}))


@pytest.fixture
def images(stack: StackInfo, folder: Path) -> Command:
    """`kilostack images` in this process."""

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["images", *arguments, "--state-dir", str(folder)])

    return run


def create(catalog: ApiClient) -> str:
    record = {"name": "disk", "disk_format": "raw", "container_format": "bare"}
    image_id = str(catalog.json("POST", "/v2/images", record)["id"])
    catalog.upload(f"/v2/images/{image_id}/file", [DISK], len(DISK))
    return image_id


def test_an_image_is_converted_and_followed_to_its_end(catalog: ApiClient, images: Command) -> None:
    image_id = create(catalog)
    done = images("convert", image_id, "--to", "qcow2", "--in-place", "--compress")
    assert done.exit_code == 0, done.output
    assert f"image {image_id} is qcow2" in done.output
    image = catalog.json("GET", f"/v2/images/{image_id}")
    assert (image["disk_format"], image["virtual_size"]) == ("qcow2", len(DISK))
    back = json.loads(images("convert", image_id, "--to", "raw", "--name", "b", "--json").output)
    assert back["status"] == "success"
    path = f"/v2/images/{back['image_id']}"
    assert catalog.json("GET", path)["name"] == "b"
    assert b"".join(catalog.download(f"{path}/file")) == DISK
    seen = images("inspect", image_id)
    assert "qcow2 (compat 1.1), a disk of 1 MiB" in seen.output
    assert json.loads(images("inspect", image_id, "--json").output)["format"] == "qcow2"


def test_what_cannot_be_converted_is_said(catalog: ApiClient, images: Command) -> None:
    image_id = create(catalog)
    refused = images("convert", image_id, "--to", "gif")
    assert refused.exit_code == 2
    assert "formats to convert to are: qcow2" in refused.output
    path = f"/v2/images/{image_id}/actions"
    catalog.json("POST", f"{path}/deactivate")
    refused = images("convert", image_id, "--to", "qcow2", "--in-place")
    assert (refused.exit_code, "deactivated" in refused.output) == (2, True)
