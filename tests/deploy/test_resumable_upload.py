"""kill -9 in the middle of a resumable upload: a new process goes on with what was written."""

import http.client
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kilo_deploy.accounts import sign_in
from kilo_deploy.client import ApiClient
from kilo_deploy.state import StackInfo
from kilo_deploy.testing import StackProcess

MIB = 1 << 20
RECORD = {"disk_format": "raw", "container_format": "bare"}
LEASE = {"KILO_CATALOG__UPLOAD__LEASE": "1"}
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}


def eventually(condition: Callable[[], Any], timeout: float = 20.0) -> Any:
    """The condition's value once it is true; another process decides when that is."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


def ask(
    info: StackInfo, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
) -> http.client.HTTPResponse:
    address = urlsplit(info.catalog_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port)
    identity = sign_in(info, info.project, {})
    connection.request(method, path, body or None, {**TUS, **identity, **headers})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def begin_patch(info: StackInfo, path: str, data: bytes, count: int) -> socket.socket:
    """A connection on which some bytes of a PATCH were sent, and no more come."""
    address = urlsplit(info.catalog_url)
    sock = socket.create_connection((address.hostname, address.port))
    own = {"Host": "x", "Upload-Offset": "0", "Content-Length": str(len(data))}
    headers = {**TUS, **sign_in(info, info.project, {}), **own}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    sock.sendall(f"PATCH {path} HTTP/1.1\r\n{lines}\r\n".encode() + data[:count])
    return sock


def test_an_upload_survives_its_process(tmp_path: Path) -> None:
    data = os.urandom(12 * MIB)
    first = StackProcess(tmp_path, environ=LEASE)
    info = first.wait_ready()
    catalog = ApiClient(info.catalog_url, sign_in(info, info.project, {}))
    path = f"/v2/images/{catalog.json('POST', '/v2/images', RECORD)['id']}"
    begun = ask(info, "POST", f"{path}/uploads", {"Upload-Length": str(len(data))})
    upload = urlsplit(begun.headers["Location"]).path
    file = tmp_path / "images" / "uploads" / upload.rpartition("/")[2]

    sock = begin_patch(info, upload, data, 8 * MIB)
    eventually(lambda: file.stat().st_size >= 4 * MIB)
    first.kill()
    sock.close()

    second = StackProcess(tmp_path, environ=LEASE)
    info = second.wait_ready()
    try:
        # 409 as long as the lease of the dead process lasts.
        found = eventually(lambda: (seen := ask(info, "HEAD", upload, {})).status == 200 and seen)
        offset = int(found.headers["Upload-Offset"])
        assert 4 * MIB <= offset <= 8 * MIB
        rest = ask(info, "PATCH", upload, {"Upload-Offset": str(offset)}, data[offset:])
        assert rest.status == 204
        catalog = ApiClient(info.catalog_url, sign_in(info, info.project, {}))
        assert catalog.json("GET", path)["status"] == "active"
        assert b"".join(catalog.download(f"{path}/file")) == data
    finally:
        second.interrupt()
