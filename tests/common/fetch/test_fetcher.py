"""The fetcher against a server on loopback that behaves, and that misbehaves."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from kilo_common.fetch.errors import FetchFailed, FetchRefused, FetchTooLarge
from kilo_common.fetch.fetcher import Fetcher, FetchStream
from kilo_common.fetch.policy import FetchPolicy

DATA = bytes(range(256)) * 40


class Server:
    """Answers each connection with the next of its scripts, and remembers what it was asked."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.asked: list[str] = []
        self._scripts: list[Any] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def url(self, path: str = "/x", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def will(self, *scripts: bytes | Callable[[socket.socket], None]) -> None:
        self._scripts += scripts

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            more = connection.recv(65536)
            if not more:
                return
            request += more
        self.asked.append(request.decode())
        script = self._scripts.pop(0)
        if callable(script):
            script(connection)
        else:
            connection.sendall(script)

    def close(self) -> None:
        self._done.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def wait(self, _connection: socket.socket) -> None:
        """Say nothing, until the test is over."""
        self._done.wait(10)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def fetcher(**changes: Any) -> Fetcher:
    resolve = changes.pop("resolve", None)
    policy = FetchPolicy(**{"allow_loopback": True, "ports": (), "read_timeout": 5.0, **changes})
    return Fetcher(policy, resolve=resolve)


def ok(body: bytes = DATA, headers: str = "", status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def redirect(where: str, status: str = "302 Found") -> bytes:
    return ok(b"", f"Location: {where}\r\n", status)


def read_all(stream: FetchStream) -> bytes:
    with stream:
        return b"".join(iter(lambda: stream.read(999), b""))


def test_bytes_are_streamed(server: Server) -> None:
    server.will(ok(headers="ETag: abc\r\n"))
    stream = fetcher().open(server.url("/a?b=c"), headers={"X-Own": "1"})
    assert (stream.status, stream.length, stream.headers["etag"]) == (200, len(DATA), "abc")
    assert read_all(stream) == DATA
    assert server.asked[0].startswith("GET /a?b=c HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{server.port}\r\n" in server.asked[0]
    assert "X-Own: 1\r\n" in server.asked[0]
    stream.close()


def test_chunks_are_joined(server: Server) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    server.will(head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", head + b"3\r\nabc\r\n5\r\nd")
    stream = fetcher().open(server.url())
    assert stream.length is None
    assert read_all(stream) == b"abcde"
    with pytest.raises(FetchFailed, match="broke off"):
        read_all(fetcher().open(server.url()))


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_transfer_is_taken_up_at_an_offset(server: Server, knows_ranges: bool) -> None:
    part = f"Content-Range: bytes 1000-{len(DATA) - 1}/{len(DATA)}\r\n"
    server.will(ok(DATA[1000:], part, "206 Partial Content") if knows_ranges else ok())
    assert read_all(fetcher().open(server.url(), offset=1000)) == DATA[1000:]
    assert "Range: bytes=1000-\r\n" in server.asked[0]


def test_another_range_than_was_asked_for_is_not_taken(server: Server) -> None:
    server.will(ok(DATA[1:], "Content-Range: bytes 1-9/10\r\n", "206 Partial Content"))
    with pytest.raises(FetchFailed, match="another range"):
        fetcher().open(server.url(), offset=1000)


def test_redirects_are_followed_and_secrets_stay_with_the_first_server(server: Server) -> None:
    other = Server()
    server.will(redirect("/second"), redirect(other.url("/third")))
    other.will(ok())
    headers = {"Authorization": "Bearer x", "X-Auth-Token": "t", "X-Own": "1"}
    stream = fetcher().open(server.url(), headers=headers)
    assert stream.url == other.url("/third")
    assert read_all(stream) == DATA
    assert "Bearer" in server.asked[1]
    assert "X-Own" in other.asked[0]
    assert "Bearer" not in other.asked[0]
    assert "X-Auth-Token" not in other.asked[0]
    other.close()


@pytest.mark.parametrize(
    "where",
    ["http://169.254.169.254/latest", "file:///etc/passwd", "http://10.0.0.1/", "gopher://x/",
     "//0x7f.1/", "http://u:p@example.org/", "http://[fe80::1]/", "http://[",
     "http://example.org:1 /"],
)  # fmt: skip
def test_a_redirect_to_a_forbidden_place_is_refused(server: Server, where: str) -> None:
    server.will(redirect(where))
    with pytest.raises(FetchRefused):
        fetcher().open(server.url())


def test_redirects_end(server: Server) -> None:
    server.will(*[redirect("/again")] * 4)
    with pytest.raises(FetchFailed, match="More than 3 redirects"):
        fetcher(max_redirects=3).open(server.url())
    assert len(server.asked) == 4


def test_a_name_is_resolved_once_and_the_connection_goes_to_what_was_checked(
    server: Server,
) -> None:
    answers = [("127.0.0.1",), ("169.254.169.254",)]
    server.will(ok())
    asked = fetcher(resolve=lambda _host, _port: answers.pop(0))
    assert read_all(asked.open(server.url(host="rebinding.example.org"))) == DATA
    assert f"Host: rebinding.example.org:{server.port}\r\n" in server.asked[0]
    assert len(answers) == 1


def test_the_next_address_is_tried_when_one_does_not_answer(server: Server) -> None:
    server.will(ok())
    # Nothing listens on 127.0.0.2, whatever the port.
    asked = fetcher(resolve=lambda _host, _port: ("127.0.0.2", "127.0.0.1"))
    assert read_all(asked.open(server.url(host="two.example.org"))) == DATA


def test_what_ends_early_is_noticed(server: Server) -> None:
    server.will(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
    with pytest.raises(FetchFailed, match="3 of 100"):
        read_all(fetcher().open(server.url()))


@pytest.mark.parametrize(
    "answer",
    [b"", b"SSH-2.0-OpenSSH_9.9\r\n", b"HTTP/1.1", b"HTTP/1.1 abc OK\r\n\r\n",
     b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
     b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70000 + b"\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_answer_is_a_failure(server: Server, answer: bytes) -> None:
    server.will(answer)
    with pytest.raises(FetchFailed, match="does not answer"):
        fetcher().open(server.url())


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "204 No Content", "416 No"])
def test_other_statuses_carry_no_data(server: Server, status: str) -> None:
    server.will(ok(b"sorry", status=status))
    with pytest.raises(FetchFailed) as failed:
        fetcher().open(server.url())
    assert failed.value.details["status"] == int(status[:3])


def test_more_bytes_than_allowed_are_not_taken(server: Server) -> None:
    endless = b"HTTP/1.1 200 OK\r\n\r\n" + bytes(5000)
    server.will(ok(), endless)
    with pytest.raises(FetchTooLarge):
        fetcher(max_bytes=1000).open(server.url())
    with pytest.raises(FetchTooLarge):
        read_all(fetcher(max_bytes=1000).open(server.url()))


def test_silence_ends(server: Server) -> None:
    server.will(server.wait)
    with pytest.raises(FetchFailed):
        fetcher(read_timeout=0.05).open(server.url())


@pytest.mark.parametrize("headers", ["Content-Length: 9\r\n", ""])
def test_who_waits_can_be_freed_and_takes_nothing_for_the_end(server: Server, headers: str) -> None:
    def half(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 200 OK\r\n{headers}\r\nhalf".encode())
        server.wait(connection)

    server.will(half)
    with fetcher(read_timeout=30.0).open(server.url()) as stream:
        assert stream.read(100) == b"half"
        freeing = threading.Timer(0.1, stream.abort)
        freeing.start()
        with pytest.raises(FetchFailed):
            stream.read(100)
        with pytest.raises(FetchFailed):
            stream.read(100)
        freeing.join()


def test_a_trickle_ends_at_the_deadline(server: Server) -> None:
    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nA: ")
        for _ in range(200):
            connection.sendall(b"b")
            time.sleep(0.01)  # the trickle itself; the fetcher gives up long before its end

    server.will(trickle)
    began = time.monotonic()
    with pytest.raises(FetchFailed, match=r"longer than a request may|timed out"):
        fetcher(total_timeout=0.1).open(server.url())
    assert time.monotonic() - began < 1.5


def test_a_server_that_is_not_there_is_a_failure(unused_port: int) -> None:
    with pytest.raises(FetchFailed, match="cannot be reached"):
        fetcher().open(f"http://127.0.0.1:{unused_port}/")


def test_tls_is_not_spoken_with_who_cannot_prove_its_name(server: Server) -> None:
    with pytest.raises(FetchFailed, match="cannot be reached"):
        fetcher(read_timeout=0.5).open(server.url().replace("http:", "https:"))


def test_a_resolver_that_hangs_is_given_up() -> None:
    free = threading.Event()

    def hang(_host: str, _port: int) -> tuple[str, ...]:
        free.wait(10)
        return ()

    with ThreadPoolExecutor(1) as executor:
        slow = Fetcher(FetchPolicy(connect_timeout=0.05), executor, resolve=hang)
        with pytest.raises(FetchFailed, match="no address"):
            slow.open("http://example.org/")
        free.set()


def test_a_body_is_sent_and_the_answer_returned_whatever_its_status(server: Server) -> None:
    server.will(ok(b"no" * 100, "Retry-After: 3\r\n", "429 Slow down"))
    answer = fetcher().request(
        "POST", server.url(), headers={"Content-Type": "text/plain"}, body=b"hello", max_answer=5
    )
    assert (answer.status, answer.headers["retry-after"], answer.body) == (429, "3", b"nonon")
    assert "Content-Length: 5\r\n" in server.asked[0]


def test_a_post_follows_only_redirects_that_keep_it_one(server: Server) -> None:
    server.will(redirect("/b", "307 Same"), ok(b"done"), redirect("/b"))
    assert fetcher().request("POST", server.url(), body=b"").body == b"done"
    assert server.asked[1].startswith("POST /b")
    assert fetcher().request("POST", server.url(), body=b"").status == 302
    with pytest.raises(FetchRefused):
        fetcher(allow_loopback=False).request("POST", server.url())


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "Connection"])
def test_headers_of_the_framing_are_not_for_callers(server: Server, name: str) -> None:
    with pytest.raises(FetchRefused, match="header"):
        fetcher().request("POST", server.url(), headers={name: "x"})


def test_a_header_that_would_add_another_is_refused(server: Server) -> None:
    with pytest.raises(FetchFailed):
        fetcher().request("POST", server.url(), headers={"X": "a\r\nB: c"})


def serve_many(server: Server, connection: socket.socket, answers: list[bytes]) -> None:
    """Answer the request that has been read, and those that follow on the connection."""
    connection.sendall(answers[0])
    for answer in answers[1:]:
        request = b""
        while b"\r\n\r\n" not in request:
            more = connection.recv(65536)
            if not more:
                return
            request += more
        server.asked.append(request.decode())
        connection.sendall(answer)


def keeping(**changes: Any) -> Fetcher:
    return Fetcher(FetchPolicy(**({"ports": (), "allow_loopback": True} | changes)), keep=2)


def test_a_connection_is_used_again_by_who_keeps_it(server: Server) -> None:
    server.will(lambda connection: serve_many(server, connection, [ok(b"a"), ok(b"b"), ok(b"c")]))
    kept = keeping()
    bodies = [kept.request("POST", server.url(), body=b"").body for _ in range(3)]
    kept.close()
    assert bodies == [b"a", b"b", b"c"]
    assert "close" not in server.asked[0]


def test_a_kept_connection_that_was_closed_meanwhile_is_replaced(server: Server) -> None:
    server.will(ok(b"a"), ok(b"b"))
    kept = keeping()
    assert kept.request("POST", server.url(), body=b"1").body == b"a"
    assert kept.request("POST", server.url(), body=b"2").body == b"b"
    kept.close()


def test_what_follows_an_answer_unasked_spoils_the_connection(server: Server) -> None:
    smuggled = ok(b"a") + ok(b"for the next one")
    server.will(smuggled, ok(b"b"))
    kept = keeping()
    assert kept.request("GET", server.url()).body == b"a"
    assert kept.request("GET", server.url("/other")).body == b"b"
    kept.close()


def test_an_interim_answer_is_passed_over(server: Server) -> None:
    server.will(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok(b"a"))
    answer = fetcher().request("GET", server.url())
    assert (answer.status, answer.body) == (200, b"a")
    assert "link" not in answer.headers


def test_a_head_has_no_body(server: Server) -> None:
    server.will(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    answer = fetcher().request("HEAD", server.url())
    assert (answer.headers["content-length"], answer.body) == ("5", b"")
