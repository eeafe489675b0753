"""A real disk image through the unmodified openstack client, and its news on a WebSocket."""

import hashlib
import json
import time
from pathlib import Path

import pytest

from kilo_deploy.accounts import sign_in
from kilo_deploy.client import ApiClient
from kilo_deploy.state import StackInfo
from kilo_deploy.watch import TopicWatch
from support.clients import Clients

pytestmark = pytest.mark.clients


def test_an_image_goes_in_by_the_openstack_client_and_its_event_comes_out_of_a_websocket(
    clients: Clients, kilostack: StackInfo, disk_image: Path, tmp_path: Path
) -> None:
    project = kilostack.project
    identity = sign_in(kilostack, project, {})
    watch = TopicWatch(
        kilostack.websocket_url, "catalog.events", project, headers=identity, timeout=30
    )
    content = disk_image.read_bytes()

    created = json.loads(
        clients.openstack(
            *("image", "create", "--file", str(disk_image), "--disk-format", "qcow2"),
            *("--container-format", "bare", "--property", "os_distro=debian"),
            *("--tag", "first", "journey", "-f", "json"),
        )
    )
    image_id = created["id"]
    shown = json.loads(clients.openstack("image", "show", image_id, "-f", "json"))
    assert shown["status"] == "active"
    assert shown["size"] == len(content)
    assert shown["checksum"] == hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert shown["properties"]["os_hash_algo"] == "sha512"
    assert shown["properties"]["os_hash_value"] == hashlib.sha512(content).hexdigest()
    assert shown["properties"]["os_distro"] == "debian"
    assert shown["tags"] == ["first"]

    arrived = {}
    for message in watch.messages():
        if message["payload"]["id"] == image_id:
            arrived[message["event_type"]] = message
        if "image.activate" in arrived:
            break
    assert arrived["image.activate"]["payload"]["status"] == "active"
    watch.close()

    saved = tmp_path / "saved.qcow2"
    clients.openstack("image", "save", "--file", str(saved), image_id)
    assert saved.read_bytes() == content

    by_name = json.loads(clients.openstack("image", "list", "--name", "journey", "-f", "json"))
    assert [each["ID"] for each in by_name] == [image_id]
    clients.openstack(
        *("image", "set", "--property", "color=blue", "--tag", "second", "--name", "renamed"),
        *("--min-disk", "1", image_id),
    )
    clients.openstack("image", "unset", "--property", "os_distro", "--tag", "first", image_id)
    changed = json.loads(clients.openstack("image", "show", "renamed", "-f", "json"))
    assert changed["properties"]["color"] == "blue"
    assert "os_distro" not in changed["properties"]
    assert changed["tags"] == ["second"]
    assert changed["min_disk"] == 1

    clients.openstack("image", "delete", image_id)
    gone = clients.run("openstack", "image", "show", image_id, check=False)
    assert gone.returncode == 1
    assert "No Image found" in gone.stderr


def test_the_event_comes_well_under_a_second_after_the_upload(
    kilostack: StackInfo,
) -> None:
    identity = sign_in(kilostack, "alt", {})
    watch = TopicWatch(
        kilostack.websocket_url, "catalog.events", "alt", headers=identity, timeout=10
    )
    catalog = ApiClient(kilostack.catalog_url, identity)
    delays = []
    for number in range(5):
        record = {"name": f"s{number}", "disk_format": "raw", "container_format": "bare"}
        image = catalog.json("POST", "/v2/images", record)
        catalog.upload(f"/v2/images/{image['id']}/file", [b"x" * 1000], 1000)
        uploaded = time.monotonic()
        for message in watch.messages():
            if message["event_type"] == "image.activate":
                assert message["payload"]["id"] == image["id"]
                delays.append(time.monotonic() - uploaded)
                break
    watch.close()
    assert sorted(delays)[2] < 0.5


def test_glanceclient_lists_and_downloads(clients: Clients, kilostack: StackInfo) -> None:
    script = """
import io, sys
from glanceclient import Client
glance = Client("2", endpoint=sys.argv[1], token=sys.argv[2])
image = glance.images.create(name="by-glanceclient", disk_format="raw", container_format="bare")
glance.images.upload(image.id, io.BytesIO(b"glance" * 1000))
assert glance.images.get(image.id).status == "active"
glance.images.update(image.id, color="green")
assert b"".join(glance.images.data(image.id)) == b"glance" * 1000
assert image.id in [each.id for each in glance.images.list(filters={"name": "by-glanceclient"})]
glance.images.delete(image.id)
print("good")
"""
    token = sign_in(kilostack, kilostack.project, {})["X-Auth-Token"]
    assert clients.python(script, kilostack.catalog_url, token).strip() == "good"
