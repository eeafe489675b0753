"""The embedded server on a real socket: latency, broken requests, bodies nobody reads."""

import socket
import statistics
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from kilo_common.errors import InvalidInput
from kilo_common.http.body import BodyTruncated, read_body

pytestmark = pytest.mark.gevent


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    status = "200 OK"
    if environ["PATH_INFO"] == "/refuse":
        status, text = "415 Unsupported", b"refused"
    else:
        try:
            text = b"%d" % len(read_body(environ, 1000))
        except BodyTruncated:
            seen.append("truncated")
            status, text = "400 Bad", b"truncated"
        except InvalidInput as error:
            status, text = "400 Bad", error.code.encode()
    start_response(status, [("Content-Length", str(len(text)))])
    return [text]


seen: list[str] = []
GREEDY = b"GET /greedy HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def server() -> Iterator[Any]:
    from kilo_common.http.server import HttpServer  # noqa: PLC0415 - only under gevent

    seen.clear()
    server = HttpServer(app, "127.0.0.1", 0, name="test", idle_timeout=0.3)
    server.start()
    yield server
    server.stop(1)


@pytest.fixture
def address(server: Any) -> tuple[str, int]:
    return "127.0.0.1", int(server.url.rpartition(":")[2])


def ask(connection: socket.socket, request: bytes) -> bytes:
    connection.sendall(request)
    return connection.recv(65536)


def send_until_cut(connection: socket.socket) -> int:
    sent = 0
    try:
        while sent < 500_000_000:
            sent += connection.send(bytes(1_000_000))
    except OSError:  # reset or broken pipe, as the kernel likes
        pass
    return sent


def test_keep_alive_answers_do_not_wait_for_delayed_acknowledgements(
    address: tuple[str, int],
) -> None:
    with socket.create_connection(address) as connection:
        times = []
        for _ in range(20):
            began = time.perf_counter()
            answer = ask(connection, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab")
            times.append(time.perf_counter() - began)
            assert answer.startswith(b"HTTP/1.1 200")
    # Without TCP_NODELAY the median is 40 ms; the bound is far from both.
    assert statistics.median(times) < 0.02


def test_who_asks_again_at_once_does_not_keep_others_waiting() -> None:
    from kilo_common.http.server import HttpServer  # noqa: PLC0415 - only under gevent

    asked: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        asked.append(environ["PATH_INFO"])
        if "/patient" not in asked and len(asked) < 20_000:
            greedy.sendall(GREEDY)  # before it has its answer: so it never waits
        if len(asked) == 3:
            patient.sendall(b"GET /patient HTTP/1.1\r\nHost: x\r\n\r\n")
        start_response("204 No Content", [])
        return []

    server = HttpServer(app, "127.0.0.1", 0, name="test")
    server.start()
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    try:
        with (
            socket.create_connection(address) as greedy,
            socket.create_connection(address) as patient,
        ):
            greedy.sendall(GREEDY)
            assert patient.recv(65536).startswith(b"HTTP/1.1 204")
            assert len(asked) < 10_000  # gevent lets others take their turn every 5 ms
    finally:
        server.stop(1)


def test_a_body_that_breaks_off_is_noticed(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly this")
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1000)
    assert seen == ["truncated"]


@pytest.mark.parametrize("rest", [b"5\r\nabc", b"zz\r\nabc\r\n", b"5\r\nabcdefgh\r\n0\r\n\r\n"])
def test_broken_chunks_are_noticed(address: tuple[str, int], rest: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(address) as connection:
        connection.sendall(head + rest)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(1000)
    assert answer.startswith(b"HTTP/1.1 400")
    assert seen == ["truncated"]


def test_whole_chunks_are_read(address: tuple[str, int]) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(address) as connection:
        assert ask(connection, head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").endswith(b"5")


def test_a_small_refused_body_is_dropped_and_the_connection_goes_on(
    address: tuple[str, int],
) -> None:
    with socket.create_connection(address) as connection:
        request = b"PUT /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde"
        assert ask(connection, request).startswith(b"HTTP/1.1 415")
        assert ask(connection, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_an_endless_refused_body_is_not_read_to_its_end(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(b"PUT /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 415")
        assert send_until_cut(connection) < 100_000_000


def test_a_client_that_stalls_in_the_middle_of_its_body_is_given_up(
    address: tuple[str, int],
) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly this")
        assert connection.recv(1000).startswith(b"HTTP/1.1 400")
        assert connection.recv(1000) == b""
    assert seen == ["truncated"]


def test_a_stop_does_not_wait_for_connections_without_a_request(
    server: Any, address: tuple[str, int]
) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        assert ask(connection, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        server.stop(10)
        assert time.monotonic() - began < 5
        assert connection.recv(1000) == b""
