"""Clients that mean no good, or are broken, on a real socket; and what is only seen there."""

import random
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kilo_common.http.body import read_body
from kilo_common.http.outbound import FileBody
from kilo_common.http.upgrade import ENDING_KEY

pytestmark = pytest.mark.gevent
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    seen.append(path)
    if path == "/fail":
        raise RuntimeError("this is expected")
    if path == "/split":
        start_response("200 OK", [("X-Evil", "a\r\nSet-Cookie: b")])
        return [b"x"]
    if path == "/short":
        start_response("200 OK", [("Content-Length", "10")])
        return iter([b"abc"])
    if path == "/pieces":
        start_response("200 OK", [])
        return iter([b"a", b"", b"bc"])
    if path == "/file":
        start_response("200 OK", [])
        return FileBody(Path(environ["QUERY_STRING"]).open("rb"), 3, 1_000_000)
    if path == "/ending":
        start_response("200 OK", [])
        return [str(environ[ENDING_KEY]()).encode()]
    if path == "/deaf":
        start_response("403 No", [("Content-Length", "0")])
        return []
    body = read_body(environ, 10_000_000)
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


seen: list[str] = []


@pytest.fixture
def server(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    from kilo_common.http.server import HttpServer  # noqa: PLC0415 - only under gevent

    seen.clear()
    server = HttpServer(app, "127.0.0.1", 0, name="test", idle_timeout=0.4, head_timeout=0.3)
    server.start()
    yield server
    server.stop(1)


@pytest.fixture
def connection(server: Any) -> Iterator[socket.socket]:
    address = "127.0.0.1", int(server.url.rpartition(":")[2])
    with socket.create_connection(address, timeout=10) as opened:
        yield opened


def read_all(connection: socket.socket) -> bytes:
    answer = b""
    try:
        while piece := connection.recv(65536):
            answer += piece
    except ConnectionResetError:
        pass
    return answer


def read_answer(connection: socket.socket) -> bytes:
    """One answer with a Content-Length."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body[:length]


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: 1\r\n folded\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x00\x01\n\n",
    ],
)
def test_a_bad_head_is_answered_and_ends_the_connection(
    connection: socket.socket, head: bytes
) -> None:
    connection.sendall(head + b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1
    assert b'"code":"http.head_invalid"' in answer
    assert seen == []


def test_an_endless_head_is_not_read_to_its_end(connection: socket.socket) -> None:
    connection.sendall(b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 70_000)
    assert read_all(connection).startswith(b"HTTP/1.1 431")


def test_an_endless_path_is_refused(connection: socket.socket) -> None:
    connection.sendall(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert read_all(connection).startswith(b"HTTP/1.1 414")


def test_a_head_that_trickles_in_is_given_up(connection: socket.socket) -> None:
    began = time.monotonic()
    answer = b""
    connection.settimeout(0.05)
    for byte in GET * 3:
        try:
            connection.sendall(bytes([byte]))
            answer += connection.recv(1000)
        except TimeoutError:
            continue
        except OSError:
            break
        if answer:
            break
    assert answer.startswith(b"HTTP/1.1 408")
    assert time.monotonic() - began < 3


def test_a_connection_without_a_request_is_closed(connection: socket.socket) -> None:
    assert read_all(connection) == b""


@pytest.mark.parametrize(
    "rest",
    [
        b"-1\r\n",
        b"+1\r\na\r\n",
        b"0x1\r\na\r\n",
        b"1_0\r\n",
        b" 1\r\na\r\n",
        b"\r\n",
        b"1\na\r\n",
        b"1\r\nab\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\n",
        b"1;" + b"x" * 300 + b"\r\n",
        b"1\r\na\r\n0\r\n" + b"T: " + b"x" * 9000 + b"\r\n\r\n",
    ],
)
def test_broken_chunks_end_the_connection(connection: socket.socket, rest: bytes) -> None:
    connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + rest)
    connection.sendall(b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
    connection.shutdown(socket.SHUT_WR)
    read_all(connection)
    assert seen == ["/"]


def test_chunks_with_extensions_and_trailers_are_read(connection: socket.socket) -> None:
    connection.sendall(
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n"
        b"3;a=b\r\nabc\r\nA \r\n0123456789\r\n0\r\nX: 1\r\nY: 2\r\n\r\n" + GET
    )
    assert read_answer(connection).endswith(b"abc0123456789")
    read_all(connection)
    assert seen == ["/", "/"]


def test_requests_one_behind_another_are_answered_in_turn(connection: socket.socket) -> None:
    post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n"
    connection.sendall(b"".join(post + b"%d" % number for number in range(10)) + b"\r\n" + GET)
    answer = b""
    while answer.count(b"HTTP/1.1 200") < 11:
        answer += connection.recv(65536)
    bodies = [part[-1:] for part in answer.split(b"HTTP/1.1 200 OK")[1:11]]
    assert b"".join(bodies) == b"0123456789"


def test_a_client_that_waits_for_100_is_told_to_go_on(connection: socket.socket) -> None:
    connection.sendall(
        b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    )
    assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(b"ab")
    assert read_answer(connection).endswith(b"ab")


def test_a_refused_upload_is_not_asked_for(connection: socket.socket) -> None:
    connection.sendall(
        b"PUT /deaf HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    )
    answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"100 Continue" not in answer


def test_a_failure_is_answered_without_a_traceback_and_the_connection_goes_on(
    connection: socket.socket,
) -> None:
    connection.sendall(b"GET /fail HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = read_answer(connection)
    assert answer.startswith(b"HTTP/1.1 500")
    assert b"expected" not in answer
    connection.sendall(GET)
    assert read_answer(connection).startswith(b"HTTP/1.1 200")


def test_an_answer_cannot_be_split_by_a_header(connection: socket.socket) -> None:
    connection.sendall(b"GET /split HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"Set-Cookie" not in read_all(connection)


def test_an_answer_that_is_too_short_ends_the_connection(connection: socket.socket) -> None:
    connection.sendall(b"GET /short HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
    assert read_all(connection).endswith(b"\r\n\r\nabc")


def test_pieces_of_unknown_length_are_chunked_for_1_1_and_closed_for_1_0(
    server: Any, connection: socket.socket
) -> None:
    connection.sendall(b"GET /pieces HTTP/1.0\r\n\r\n")
    answer = read_all(connection)
    assert answer.endswith(b"\r\n\r\nabc")
    assert b"Connection: close" in answer
    with socket.create_connection(connection.getpeername(), timeout=10) as other:
        other.sendall(b"GET /pieces HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert read_all(other).endswith(b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")


def test_head_has_the_headers_of_get_and_no_body(connection: socket.socket) -> None:
    connection.sendall(b"HEAD /short HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = read_all(connection)
    assert b"Content-Length: 10" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_a_1_0_client_that_asks_for_it_keeps_its_connection(connection: socket.socket) -> None:
    for _ in range(2):
        connection.sendall(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert b"Connection: keep-alive" in read_answer(connection)


def test_a_client_that_reads_nothing_is_given_up(server: Any, connection: socket.socket) -> None:
    size = 9_000_000
    connection.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
    connection.sendall(bytes(size))
    with socket.create_connection(connection.getpeername(), timeout=10) as other:
        # The server gives this one up after the other, for the same reason.
        read_all(other)
    assert len(read_all(connection)) < size


def test_a_stretch_of_a_file_is_sent(connection: socket.socket, tmp_path: Path) -> None:
    content = random.Random(1).randbytes(1_500_000)
    file = tmp_path / "content"
    file.write_bytes(content)
    for _ in range(2):
        connection.sendall(b"GET /file?%s HTTP/1.1\r\nHost: x\r\n\r\n" % str(file).encode())
        assert read_answer(connection).endswith(b"\r\n\r\n" + content[3:1_000_003])


def test_noise_never_breaks_the_server(server: Any, connection: socket.socket) -> None:
    chance = random.Random(7)
    alphabet = [b"GET ", b"/", b" HTTP/1.1", b"\r\n", b"\n", b"Host: x", b": ", b"\x00", b"\xff"]
    alphabet += [b"Content-Length: ", b"5", b"-", b"Transfer-Encoding: chunked", b"POST ", b"abc"]
    for _ in range(300):
        noise = b"".join(chance.choices(alphabet, k=chance.randrange(1, 14)))
        with socket.create_connection(connection.getpeername(), timeout=10) as other:
            other.sendall(noise + b"\r\n\r\n")
            other.shutdown(socket.SHUT_WR)
            answer = read_all(other)
            assert not answer or answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 4", b"HTTP/1.1 100"))
    with socket.create_connection(connection.getpeername(), timeout=10) as other:
        other.sendall(GET)
        assert read_answer(other).startswith(b"HTTP/1.1 200")
