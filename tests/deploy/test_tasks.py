"""Tasks as people see and steer them: with `kilostack tasks`, and with unmodified clients."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kilo_deploy.accounts import sign_in
from kilo_deploy.cli import main
from kilo_deploy.client import ApiClient
from kilo_deploy.clouds import write
from kilo_deploy.state import StackInfo
from kilo_deploy.testing import StackProcess
from support.clients import Clients
from support.gated import DATA, GatedServer, gated_server

OPEN_TO_LOOPBACK = {
    "KILO_AUTH__STRATEGY": "dev",
    "KILO_CATALOG__IMPORTS__FETCH__ALLOW_LOOPBACK": "true",
    "KILO_CATALOG__IMPORTS__FETCH__PORTS": "[]",
}
Command = Callable[..., Result]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tasks") / "state"


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[StackInfo]:
    process = StackProcess(folder, environ=OPEN_TO_LOOPBACK)
    try:
        yield process.wait_ready()
    finally:
        process.kill()


@pytest.fixture
def catalog(stack: StackInfo) -> ApiClient:
    return ApiClient(stack.catalog_url, sign_in(stack, "demo", {}))


@pytest.fixture
def tasks(stack: StackInfo, folder: Path) -> Command:
    """`kilostack tasks` in this process."""
    del stack

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["tasks", *arguments, "--state-dir", str(folder)])

    return run


def begin(catalog: ApiClient, server: GatedServer) -> tuple[str, str]:
    """An image whose data does not come, and the task that waits for it."""
    record = {"name": "slow", "disk_format": "raw", "container_format": "bare"}
    image_id = catalog.json("POST", "/v2/images", record)["id"]
    method = {"name": "web-download", "uri": f"{server.url}/disk"}
    catalog.json("POST", f"/v2/images/{image_id}/import", {"method": method})
    server.waiting.get(timeout=30)
    (task,) = catalog.json("GET", f"/v2/images/{image_id}/tasks")["tasks"]
    return image_id, task["id"]


def test_a_task_is_watched_stopped_in_the_middle_and_begun_again(
    catalog: ApiClient, tasks: Command
) -> None:
    with gated_server() as server:
        image_id, task_id = begin(catalog, server)
        listed = json.loads(tasks("list", "--status", "processing", "--json").output)
        assert [each["id"] for each in listed] == [task_id]
        assert task_id in tasks("list", "--image", image_id).output
        shown = json.loads(tasks("show", task_id, "--json").output)
        assert (shown["progress"]["step"], shown["status"]) == ("download", "processing")

        assert tasks("cancel", task_id).exit_code == 0
        ended = tasks("watch", task_id)  # although the other side says nothing
        assert ended.exit_code == 1
        assert "failure: It was cancelled" in ended.output
        assert catalog.json("GET", f"/v2/images/{image_id}")["status"] == "queued"

        assert tasks("retry", task_id, "--image", image_id).exit_code == 0
        server.waiting.get(timeout=30)
        server.gate.set()
    ended = tasks("watch", task_id)
    assert (ended.exit_code, "100 % success: Copied to main" in ended.output) == (0, True)
    assert b"".join(catalog.download(f"/v2/images/{image_id}/file")) == DATA
    assert "Nothing waits" in tasks("watch").output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("show", "nothing"), "No task found"),
        (("cancel", "nothing"), "No task found"),
        (("show", "x", "--image", "nothing"), "No image found"),
        (("list", "--url", "http://127.0.0.1:1"), "Nothing answers"),
        (("list", "--project", "nowhere"), "Nobody of this stack"),
    ],
)
def test_what_cannot_be_is_told(tasks: Command, arguments: tuple[str, ...], sentence: str) -> None:
    done = tasks(*arguments)
    assert (done.exit_code, sentence in done.output) == (2, True), done.output


def test_unmodified_clients_import(
    stack: StackInfo, clients_folder: Path, tmp_path: Path, catalog: ApiClient
) -> None:
    clients = Clients(clients_folder, write(tmp_path, stack))
    file = tmp_path / "disk.raw"
    file.write_bytes(DATA)
    with gated_server() as server:
        server.gate.set()
        told = clients.python(SDK, str(file), f"{server.url}/disk")
    assert json.loads(told) == {
        "staged": ["uploading", "active"],
        "web": "active",
        "task": "success",
        "methods": ["glance-direct", "web-download", "copy-image"],
    }
    made = clients.openstack(
        *("image", "create", "--import", "--disk-format", "raw", "--container-format", "bare"),
        *("--file", str(file), "--format", "json", "by-hand"),
    )
    image: dict[str, Any] = json.loads(made)
    (task,) = catalog.json("GET", f"/v2/images/{image['id']}/tasks")["tasks"]
    listed = json.loads(clients.openstack("image", "task", "list", "--format", "json"))
    assert task["id"] in {each["ID"] for each in listed}


SDK = """
import json, sys, openstack
cloud = openstack.connect()
image = cloud.image
def wait(found):
    return image.wait_for_status(found, "active", failures=["killed"], interval=0.2, wait=30)
formats = dict(disk_format="raw", container_format="bare")
first = image.create_image(name="staged", allow_duplicates=True, **formats)
with open(sys.argv[1], "rb") as data:
    image.stage_image(first, data=data)
staged = [image.get_image(first.id).status]
image.import_image(first, method="glance-direct")
staged.append(wait(first).status)
second = image.create_image(name="web", **formats)
image.import_image(second, method="web-download", uri=sys.argv[2])
web = wait(second).status
task = image.create_task(type="import", input=dict(
    import_from=sys.argv[2], import_from_format="raw", image_properties=dict(name="t")))
task = image.wait_for_task(task, interval=0.2, wait=30).status
methods = image.get_import_info().import_methods["value"]
print(json.dumps(dict(staged=staged, web=web, task=task, methods=methods)))
"""
