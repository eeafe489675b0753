"""Uploads over real connections: what only a socket can do to a server."""

import json
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from catalog_story import DATA, Catalog
from kilo_common.http.server import HttpServer

pytestmark = pytest.mark.gevent
MIB = 1 << 20


@pytest.fixture
def server(catalog: Catalog) -> Iterator[HttpServer]:
    server = HttpServer(catalog.api.app, "127.0.0.1", 0, name="catalog")
    server.start()
    yield server
    server.stop(5.0)


def begin(server: HttpServer, image_id: str, framing: str) -> socket.socket:
    host, _, port = server.url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), timeout=10)
    lines = (
        f"PUT /v2/images/{image_id}/file HTTP/1.1",
        "Host: catalog",
        "X-Project-Id: p1",
        f"Content-Type: {DATA}",
        framing,
    )
    connection.sendall("\r\n".join((*lines, "", "")).encode())
    return connection


def answer(connection: socket.socket) -> tuple[int, str]:
    """The status and, of an error, its code."""
    with connection.makefile("rb") as stream:
        status = int(stream.readline().split()[1])
        length = 0
        while (line := stream.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body = stream.read(length)
    return status, json.loads(body)["error"]["code"] if body else ""


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_queued_and_clean(catalog: Catalog, image_id: str) -> bool:
    return catalog.show(image_id)["status"] == "queued" and catalog.files() == []


def test_a_client_that_hangs_up_leaves_nothing(catalog: Catalog, server: HttpServer) -> None:
    image_id = catalog.create_raw()
    connection = begin(server, image_id, f"Content-Length: {50 * MIB}")
    connection.sendall(bytes(3 * MIB))
    wait_until(lambda: catalog.files() != [])
    connection.close()
    wait_until(lambda: is_queued_and_clean(catalog, image_id))


@pytest.mark.parametrize(
    "body", [b"zz\r\nabc", b"5\r\nhel", b"-1\r\n", b"5\r\nhelloXX", b"5;x\r\nhello\r\n"]
)
def test_broken_chunks_are_refused(catalog: Catalog, server: HttpServer, body: bytes) -> None:
    image_id = catalog.create_raw()
    connection = begin(server, image_id, "Transfer-Encoding: chunked")
    connection.sendall(body)
    connection.shutdown(socket.SHUT_WR)
    assert answer(connection) == (400, "http.body_truncated")
    connection.close()
    wait_until(lambda: is_queued_and_clean(catalog, image_id))


def test_chunks_make_an_image(catalog: Catalog, server: HttpServer) -> None:
    image_id = catalog.create_raw()
    connection = begin(server, image_id, "Transfer-Encoding: chunked")
    connection.sendall(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
    assert answer(connection) == (204, "")
    connection.close()
    assert catalog.request("GET", f"/v2/images/{image_id}/file").data == b"hello world"


def test_a_refusal_comes_before_the_whole_upload(catalog: Catalog, server: HttpServer) -> None:
    image_id = catalog.create_raw()
    connection = begin(server, image_id, f"Content-Length: {10**12}")
    connection.sendall(b"QFI\xfb" + bytes(2 * MIB))
    connection.shutdown(socket.SHUT_WR)
    assert answer(connection) == (415, "catalog.image.format_refused")
    connection.close()
    assert is_queued_and_clean(catalog, image_id)
