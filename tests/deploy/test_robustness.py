"""What must hold when things go wrong: memory under load, cut connections, kill -9."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from kilo_deploy.accounts import sign_in
from kilo_deploy.client import ApiClient
from kilo_deploy.state import StackInfo, find_running
from kilo_deploy.testing import StackProcess

MIB = 2**20
RECORD = {"name": "load", "disk_format": "raw", "container_format": "bare"}
CLIENT = {"Client-ID": "0" * 32}


@pytest.fixture
def info(stack: StackProcess) -> StackInfo:
    found = find_running(stack.state_dir)
    assert found is not None
    return found


def identity(info: StackInfo) -> dict[str, str]:
    return sign_in(info, info.project, {})


def begin_upload(info: StackInfo, path: str) -> socket.socket:
    """A connection on which 16 MiB of an upload of 64 have been sent."""
    address = urlsplit(info.catalog_url)
    connection = socket.create_connection((address.hostname, address.port))
    headers = {
        **identity(info),
        "Host": "x",
        "Content-Type": "application/octet-stream",
        "Content-Length": str(64 * MIB),
    }
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    connection.sendall(f"PUT {path}/file HTTP/1.1\r\n{''.join(lines)}\r\n".encode())
    connection.sendall(bytes(16 * MIB))
    return connection


def files_under(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def eventually(condition: Callable[[], Any], timeout: float = 15.0) -> Any:
    """The condition's value once it is true; another process decides when that is."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.05)
    return value


def test_eight_uploads_at_once_keep_the_server_under_200_mib(
    stack: StackProcess, info: StackInfo
) -> None:
    size = 256 * MIB
    server = psutil.Process(stack.pid)
    block = bytes(range(256)) * 4096
    statuses: list[str] = []

    def blocks() -> Iterator[bytes]:
        for _ in range(size // len(block)):
            yield block

    def upload() -> None:
        catalog = ApiClient(info.catalog_url, identity(info))
        image = catalog.json("POST", "/v2/images", RECORD)
        catalog.upload(f"/v2/images/{image['id']}/file", blocks(), size)
        statuses.append(catalog.json("GET", f"/v2/images/{image['id']}")["status"])

    threads = [threading.Thread(target=upload) for _ in range(8)]
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, server.memory_info().rss)
        time.sleep(0.05)
    assert statuses == ["active"] * 8
    assert most < 200 * MIB, f"{most / MIB:.0f} MiB"


def test_a_client_that_goes_away_in_the_middle_leaves_nothing_behind(
    stack: StackProcess, info: StackInfo
) -> None:
    catalog = ApiClient(info.catalog_url, identity(info))
    images = stack.state_dir / "images"
    image = catalog.json("POST", "/v2/images", RECORD)
    path = f"/v2/images/{image['id']}"
    with begin_upload(info, path):
        eventually(lambda: catalog.json("GET", path)["status"] == "saving")
    eventually(lambda: catalog.json("GET", path)["status"] == "queued")
    eventually(lambda: files_under(images) == [])
    catalog.upload(f"{path}/file", [b"second try"], 10)
    assert catalog.json("GET", path)["status"] == "active"


def test_killed_in_the_middle_of_an_upload_the_image_is_queued_again_after_a_restart(
    state_dir: Path,
) -> None:
    lease = {"KILO_CATALOG__UPLOAD__LEASE": "2"}
    first = StackProcess(state_dir, environ=lease)
    try:
        info = first.wait_ready()
        catalog = ApiClient(info.catalog_url, identity(info))
        image = catalog.json("POST", "/v2/images", RECORD)
        path = f"/v2/images/{image['id']}"
        connection = begin_upload(info, path)
        eventually(lambda: catalog.json("GET", path)["status"] == "saving")
    finally:
        first.kill()
    connection.close()
    second = StackProcess(state_dir, environ={**lease, "KILO_CATALOG__UPLOAD__REAP_EVERY": "1"})
    try:
        info = second.wait_ready()
        catalog = ApiClient(info.catalog_url, identity(info))
        eventually(lambda: catalog.json("GET", path)["status"] == "queued")
        eventually(lambda: files_under(state_dir / "images") == [])
    finally:
        second.kill()


def test_killed_in_the_middle_of_posting_no_acknowledged_message_is_lost(state_dir: Path) -> None:
    first = StackProcess(state_dir)
    acknowledged: list[str] = []
    try:
        info = first.wait_ready()
        address, headers = urlsplit(info.messaging_url), identity(info) | CLIENT
        enough = threading.Event()

        def post(name: int) -> None:
            connection = http.client.HTTPConnection(str(address.hostname), address.port)
            try:
                for number in range(100_000):
                    text = f"{name}-{number}"
                    body = json.dumps({"messages": [{"body": text, "ttl": 3600}]})
                    connection.request("POST", "/v2/topics/kill/messages", body, headers)
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status == 201:
                        acknowledged.append(text)
                    if len(acknowledged) > 500:
                        enough.set()
            except (OSError, http.client.HTTPException):
                connection.close()  # the server was killed, as it should be

        threads = [threading.Thread(target=post, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        assert enough.wait(60)
    finally:
        first.kill()
    for thread in threads:
        thread.join()
    second = StackProcess(state_dir)
    try:
        # The token of the first is good for the second: the key is part of the state.
        messaging = ApiClient(second.wait_ready().messaging_url, headers)
        kept = set()
        while popped := messaging.json("DELETE", "/v2/topics/kill/messages?pop=20")["messages"]:
            kept |= {each["body"] for each in popped}
        assert set(acknowledged) <= kept
    finally:
        second.kill()


@pytest.mark.parametrize("service", ["catalog", "messaging"])
def test_keep_alive_answers_take_less_than_five_milliseconds(info: StackInfo, service: str) -> None:
    url, path = {
        "catalog": (info.catalog_url, "/v2/images?limit=1"),
        "messaging": (info.messaging_url, "/v2/topics"),
    }[service]
    connection = http.client.HTTPConnection(*urlsplit(url).netloc.split(":"))
    headers = identity(info) | CLIENT
    times = []
    for _ in range(50):
        began = time.perf_counter()
        connection.request("GET", path, headers=headers)
        assert connection.getresponse().read()
        times.append(time.perf_counter() - began)
    connection.close()
    # The Nagle trap costs 40 ms on every answer; the median is far from both bounds.
    assert sorted(times)[25] < 0.005


def test_idle_memory_is_under_150_mib(stack: StackProcess, info: StackInfo) -> None:
    del info
    assert psutil.Process(stack.pid).memory_info().rss < 150 * MIB
