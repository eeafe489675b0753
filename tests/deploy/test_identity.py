"""Whole stacks that ask who their callers are: the built-in identity service, and HTTP Basic."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import bcrypt
import pytest
import websocket
import yaml

from kilo_deploy.accounts import SignInImpossible, sign_in
from kilo_deploy.client import ApiClient, RequestRefused
from kilo_deploy.state import StackInfo, read_info
from kilo_deploy.testing import KilostackProcess, StackProcess
from kilo_deploy.watch import TopicWatch, WatchFailed
from support.clients import Clients

CLIENT = {"Client-ID": "0" * 32}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    stack = StackProcess(tmp_path_factory.mktemp("identity") / "state")
    try:
        stack.wait_ready()
        yield stack
    finally:
        stack.kill()


@pytest.fixture(scope="module")
def info(process: StackProcess) -> StackInfo:
    return read_info(process.state_dir)


@pytest.fixture
def as_user(clients_folder: Path, process: StackProcess) -> Clients:
    return Clients(clients_folder, process.state_dir / "clouds.yaml")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kilo_deploy.entry", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_clouds_yaml_has_an_entry_for_each_tenant(process: StackProcess, info: StackInfo) -> None:
    file = process.state_dir / "clouds.yaml"
    clouds = yaml.safe_load(file.read_text())["clouds"]
    who = {name: (c["auth"]["username"], c["auth"]["project_name"]) for name, c in clouds.items()}
    assert who == {
        "kilostack": ("admin", "demo"),
        "kilostack-admin": ("admin", "admin"),
        "kilostack-demo": ("demo", "demo"),
        "kilostack-alt": ("alt", "alt"),
    }
    assert clouds["kilostack"]["auth"]["auth_url"] == info.identity_url + "/v3"
    for secret in ("clouds.yaml", "identity.key", "stack.json"):
        assert (process.state_dir / secret).stat().st_mode & 0o077 == 0


def test_who_brings_no_token_gets_nothing(info: StackInfo) -> None:
    nobody = {"X-Project-Id": "demo", "X-Roles": "admin", "X-Identity-Status": "Confirmed"}
    for url, path in ((info.catalog_url, "/v2/images"), (info.messaging_url, "/v2/queues")):
        with pytest.raises(RequestRefused, match="401"):
            ApiClient(url, nobody | CLIENT).json("GET", path)
    with pytest.raises(WatchFailed, match="401"):
        TopicWatch(info.websocket_url, "news", "demo")


def test_tenants_do_not_see_each_other(info: StackInfo) -> None:
    demo = ApiClient(info.catalog_url, sign_in(info, "demo", {}))
    alt = ApiClient(info.catalog_url, sign_in(info, "alt", {}) | {"X-Project-Id": "demo"})
    image = demo.json("POST", "/v2/images", {"name": "mine"})
    assert image["owner"] == "demo"
    assert alt.json("GET", "/v2/images?name=mine")["images"] == []
    with pytest.raises(RequestRefused, match="404"):
        alt.json("GET", f"/v2/images/{image['id']}")


def test_a_websocket_signs_in_once_with_a_message(info: StackInfo) -> None:
    token = sign_in(info, "demo", {})["X-Auth-Token"]
    socket = websocket.create_connection(info.websocket_url, timeout=10)

    def ask(action: str, headers: dict[str, str]) -> Any:
        body = {"queue_name": "ws"}
        socket.send(json.dumps({"action": action, "headers": headers, "body": body}))
        return json.loads(socket.recv())

    assert ask("queue_create", CLIENT)["headers"]["status"] == 401
    assert ask("authenticate", CLIENT | {"X-Auth-Token": "x"})["headers"]["status"] == 401
    assert ask("queue_create", CLIENT)["headers"]["status"] == 401
    answer = ask("authenticate", CLIENT | {"X-Auth-Token": token})
    assert answer["headers"]["status"] == 200
    assert token not in json.dumps(answer)
    assert ask("queue_create", {})["headers"]["status"] in (201, 204)
    socket.close()


def test_a_token_given_back_is_refused_by_the_services(info: StackInfo) -> None:
    headers = sign_in(info, "demo", {})
    catalog = ApiClient(info.catalog_url, headers)
    catalog.json("GET", "/v2/images")
    own = headers | {"X-Subject-Token": headers["X-Auth-Token"]}
    ApiClient(info.identity_url, own).json("DELETE", "/v3/auth/tokens")
    with pytest.raises(RequestRefused, match="401"):
        catalog.json("GET", "/v2/images")


def test_the_demo_signs_in(process: StackProcess) -> None:
    done = run("demo", "--state-dir", str(process.state_dir))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "image.delete" in done.stdout


def test_watch_signs_in_to_the_project(process: StackProcess, info: StackInfo) -> None:
    place = ["--state-dir", str(process.state_dir)]
    watch = KilostackProcess(["topics", "watch", "news", "--project", "alt", *place])
    try:
        watch.wait_for("Watching news")
        alt = ApiClient(info.messaging_url, sign_in(info, "alt", {}) | CLIENT)
        alt.json("POST", "/v2/topics/news/messages", {"messages": [{"body": "hot", "ttl": 300}]})
        assert "hot" in watch.wait_for("hot")
    finally:
        watch.kill()
    refused = run("topics", "watch", "news", "--project", "none", *place)
    assert refused.returncode == 2
    assert "none" in refused.stderr
    with pytest.raises(SignInImpossible):
        sign_in(info, "none", {})


def test_dev_identity_is_refused_where_others_reach(tmp_path: Path) -> None:
    file = tmp_path / "kilo.toml"
    file.write_text('[auth.dev.http]\nhost = "0.0.0.0"\n')
    done = run("up", "--ephemeral", "--auth", "dev", "--config", str(file))
    assert done.returncode == 2
    assert "auth.allow_insecure_bind" in done.stderr


def test_http_basic_asks_for_a_password(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    hashed = bcrypt.hashpw(b"s3cret", bcrypt.gensalt(4)).decode()
    (state / "htpasswd").write_text(f"ann:{hashed}\n")
    config = tmp_path / "kilo.toml"
    config.write_text('[auth.http_basic.users.ann]\nproject = "red"\nroles = ["admin"]\n')
    stack = StackProcess(state, ["--auth", "http_basic", "--config", str(config)])
    try:
        info = stack.wait_ready()
        assert info.project == "red"
        with pytest.raises(RequestRefused, match="401"):
            ApiClient(info.catalog_url, {"X-Project-Id": "red"}).json("GET", "/v2/images")
        with pytest.raises(SignInImpossible, match="OS_PASSWORD"):
            sign_in(info, "red", {})
        headers = sign_in(info, "red", {"OS_USERNAME": "ann", "OS_PASSWORD": "s3cret"})
        made = ApiClient(info.catalog_url, headers).json("POST", "/v2/images", {"name": "x"})
        assert made["owner"] == "red"
        TopicWatch(info.websocket_url, "news", "red", headers=headers).close()
        clouds = yaml.safe_load((state / "clouds.yaml").read_text())["clouds"]
        assert clouds["kilostack"]["auth_type"] == "http_basic"
        assert clouds["kilostack-ann"]["auth"]["username"] == "ann"
    finally:
        stack.kill()


@pytest.mark.clients
def test_the_openstack_client_signs_in_and_reads_the_catalog(as_user: Clients) -> None:
    issued = json.loads(
        as_user.openstack("--os-cloud", "kilostack-demo", "token", "issue", "-f", "json")
    )
    assert (issued["project_id"], issued["user_id"]) == ("demo", "demo")
    catalog = json.loads(
        as_user.openstack("--os-cloud", "kilostack-demo", "catalog", "list", "-f", "json")
    )
    assert {each["Type"] for each in catalog} == {
        "identity",
        "image",
        "messaging",
        "messaging-websocket",
    }
    for cloud, names in (
        ("kilostack-admin", {"admin", "demo", "alt", "service"}),
        ("kilostack-alt", {"alt"}),
    ):
        listed = json.loads(as_user.openstack("--os-cloud", cloud, "project", "list", "-f", "json"))
        assert {each["Name"] for each in listed} == names
    as_user.openstack("token", "revoke", issued["id"])


@pytest.mark.clients
def test_the_openstack_client_works_as_each_tenant(as_user: Clients, tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(b"disk" * 1000)
    name = f"image-{uuid4().hex[:8]}"
    created = json.loads(
        as_user.openstack(
            *("--os-cloud", "kilostack-demo", "image", "create", "--file", str(disk)),
            *("--disk-format", "raw", "--container-format", "bare", name, "-f", "json"),
        )
    )
    assert (created["status"], created["owner"]) == ("active", "demo")
    for cloud, seen in (("kilostack", 1), ("kilostack-demo", 1), ("kilostack-alt", 0)):
        listed = json.loads(
            as_user.openstack("--os-cloud", cloud, "image", "list", "--name", name, "-f", "json")
        )
        assert len(listed) == seen, cloud
    post = ("messaging", "message", "post", name, '[{"body": "world", "ttl": 300}]')
    as_user.openstack("--os-cloud", "kilostack-alt", *post)
    listing = ("messaging", "message", "list", name, "--echo")
    assert "world" in as_user.openstack("--os-cloud", "kilostack-alt", *listing)
    assert "world" not in as_user.openstack("--os-cloud", "kilostack-demo", *listing)


SDK = """
import openstack
cloud = openstack.connect(cloud="kilostack-alt")
image = cloud.create_image("by-sdk", disk_format="raw", container_format="bare", data=b"x" * 5000,
                           wait=True, allow_duplicates=True, validate_checksum=True)
assert cloud.image.get_image(image.id).owner == "alt"
assert cloud.current_project.name == "alt"
cloud.image.delete_image(image.id)
print("good")
"""

ZAQAR = """
import sys
from zaqarclient.queues import client
options = {
    "os_auth_url": sys.argv[1] + "/v3", "os_username": "demo", "os_password": "demo",
    "os_project_name": "demo", "os_user_domain_id": "default", "os_project_domain_id": "default",
}
zaqar = client.Client(conf={"auth_opts": {"backend": "keystone", "options": options}}, version=2)
queue = zaqar.queue("by-zaqarclient")
queue.post([{"body": {"job": 1}, "ttl": 300}])
assert [message.body for message in queue.messages(echo=True)] == [{"job": 1}]
queue.delete()
print("good")
"""


@pytest.mark.clients
def test_the_sdk_finds_the_services_by_their_catalog(as_user: Clients) -> None:
    assert as_user.python(SDK).strip() == "good"


@pytest.mark.clients
def test_zaqarclient_works_in_keystone_mode(as_user: Clients, info: StackInfo) -> None:
    assert as_user.python(ZAQAR, info.identity_url).strip() == "good"
