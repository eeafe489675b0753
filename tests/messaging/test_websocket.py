"""Following a topic over a real socket: after kill -9, and by a client that hardly reads."""

import json
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
import websocket
from websockets.sync.client import connect

from kilo_common.clock import SystemClock
from kilo_common.http.upgrade import TAKEOVER_KEY
from kilo_messaging.config import WebSocketSettings
from kilo_messaging.domain.cursor import Cursor
from kilo_messaging.protocol.pipeline import Reply
from kilo_messaging.protocol.session import Form
from kilo_messaging.transport.http.event_stream import as_event
from kilo_messaging.transport.websocket import OpenedSession, WebSocketServer
from support.messaging_server import HEADERS, Server, ask, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("messaging")
    with serving(folder, idle_limit=30.0) as running:
        yield running


def follow(connection: websocket.WebSocket, queue: str, cursor: str) -> dict[str, Any]:
    answer = ask(connection, "subscription_create", queue_name=queue, cursor=cursor)
    assert answer["headers"] == {"status": 201}
    body: dict[str, Any] = answer["body"]
    return body


def test_a_follower_misses_nothing_that_is_kept_over_kill_9(tmp_path: Path) -> None:
    with serving(tmp_path) as server, server.connected() as connection:
        server.post("log", 1, 2)
        assert follow(connection, "log", "start")["cursor"].endswith(".0")
        server.post("log", 3)
        seen = [json.loads(connection.recv()) for _ in range(3)]
        server.post("log", 4)
        server.kill()
    assert [each["body"] for each in seen] == [1, 2, 3]
    assert set(seen[0]) == {"body", "ttl", "queue_name", "Message_Type", "id", "cursor"}
    with serving(tmp_path) as server, server.connected() as connection:
        follow(connection, "log", seen[1]["cursor"])
        server.post("log", 5)
        again = [json.loads(connection.recv()) for _ in range(3)]
    assert [each["body"] for each in again] == [3, 4, 5]
    assert again[0] == seen[2]


def test_a_follower_that_speaks_messagepack_gets_messagepack(server: Server) -> None:
    server.post("packed", {"é": [1, None]})
    with server.connected() as connection:
        body = {"queue_name": "packed", "cursor": "start"}
        request = {"action": "subscription_create", "headers": HEADERS, "body": body}
        connection.send_binary(msgspec.msgpack.encode(request))
        for wanted in ("subscription_id", "é"):
            opcode, frame = connection.recv_data()
            assert opcode == websocket.ABNF.OPCODE_BINARY
            assert wanted in msgspec.msgpack.decode(frame)["body"]


def test_messages_are_compressed_only_where_the_operator_wants_it(
    server: Server, tmp_path: Path
) -> None:
    def talk(port: int) -> int:
        """How many extensions there are, once a long message has come through."""
        text = "x" * 10_000
        with connect(f"ws://127.0.0.1:{port}/", compression="deflate") as connection:
            draft = {"body": text, "ttl": 60}
            for action, body in (
                ("subscription_create", {"queue_name": "long", "cursor": "end"}),
                ("message_post", {"queue_name": "long", "messages": [draft, draft]}),
            ):
                connection.send(json.dumps({"action": action, "headers": HEADERS, "body": body}))
            frames = [json.loads(connection.recv(10)) for _ in range(4)]
            assert [each["body"] for each in frames].count(text) == 2
            return len(connection.protocol.extensions)

    assert talk(server.port) == 0
    with serving(tmp_path, deflate=True) as compressing:
        assert talk(compressing.port) == 1


def test_a_follower_that_hardly_reads_loses_nothing_and_delays_nobody(server: Server) -> None:
    slow = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection = websocket.create_connection(f"ws://127.0.0.1:{server.port}/", socket=slow)
    follow(connection, "flood", "end")
    total = 30
    for number in range(total):
        server.post("flood", [number, "x" * 250_000])
    received = [json.loads(connection.recv())["body"][0] for _ in range(total)]
    assert received == list(range(total))
    slow.close()


def nothing() -> None:
    pass


@contextmanager
def served(
    settings: WebSocketSettings,
    take: Callable[[Sequence[tuple[bytes, Form]]], Iterator[list[Reply]]],
    is_known: Callable[[], bool] = lambda: True,
) -> Iterator[tuple[socket.socket, Future[Iterable[bytes]]]]:
    """The client's end of a connection that is open, and what its server is at."""
    ours, theirs = socket.socketpair()
    opened = OpenedSession(take, nothing, is_known, nothing, lambda: Form.TEXT, nothing)
    server = WebSocketServer(lambda _environ, _line: opened, settings, SystemClock(), ())
    environ = {
        "REQUEST_METHOD": "GET",
        "HTTP_HOST": "here",
        "HTTP_UPGRADE": "websocket",
        "HTTP_CONNECTION": "Upgrade",
        "HTTP_SEC_WEBSOCKET_VERSION": "13",
        "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
        TAKEOVER_KEY: lambda: ours,
    }
    with closing(ours), closing(theirs), ThreadPoolExecutor(1) as thread:
        yield theirs, thread.submit(server, environ)


def test_who_asks_and_does_not_read_is_not_read_and_then_disconnected() -> None:
    asked: list[bytes] = []

    def take(frames: Sequence[tuple[bytes, Form]]) -> Iterator[list[Reply]]:
        for frame, form in frames:
            asked.append(frame)
            yield [Reply(b"x" * 1_000_000, form)]

    with served(WebSocketSettings(stall_limit=0.05), take) as (client, serving_it):
        client.sendall(b"\x81\x81\0\0\0\0x" * 100)
        assert serving_it.result(10) == []
    assert 1 <= len(asked) < 20


def test_who_is_not_known_any_more_is_disconnected_and_told_why() -> None:
    known = [True, True, False]
    settings = WebSocketSettings(auth_interval=0.01)
    with served(settings, lambda _frames: iter(()), lambda: known.pop(0)) as (client, serving_it):
        assert serving_it.result(10) == []
        received = b""
        while piece := client.recv(65536):
            received += piece
    assert struct.pack("!H", 4003) in received.partition(b"\r\n\r\n")[2]
    assert known == []


def test_a_topic_is_a_stream_of_events(server: Server) -> None:
    server.post("stream", 1, {"two": 2})
    first = events(server, "stream", "?cursor=start", 3)
    assert first[0] == {"retry": "1000", "id": first[0]["id"]}
    assert first[0]["id"].endswith(".0")
    assert [json.loads(each["data"])["body"] for each in first[1:]] == [1, {"two": 2}]
    assert json.loads(first[2]["data"])["cursor"] == first[2]["id"]
    server.post("stream", 3)
    again = events(server, "stream", "", 3, {"Last-Event-ID": first[1]["id"]})
    assert [json.loads(each["data"])["body"] for each in again[1:]] == [{"two": 2}, 3]


def events(
    server: Server, queue: str, query: str, count: int, headers: dict[str, str] | None = None
) -> list[dict[str, str]]:
    """The first events of a stream, each as its fields."""
    accept = {"Accept": "text/event-stream"} | (headers or {})
    url = server.url(f"{queue}/messages{query}")
    found: list[dict[str, str]] = [{}]
    with requests.get(url, headers=accept | {"X-Project-ID": "demo"}, stream=True) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
            if line:
                name, _, value = line.partition(": ")
                found[-1][name] = value
            elif len(found) == count:
                break
            else:
                found.append({})
    return found


def test_a_stream_that_is_silent_has_a_pulse_and_ends_with_the_server(tmp_path: Path) -> None:
    with serving(tmp_path, ping_interval=0.1) as server:
        accept = {"Accept": "text/event-stream"}
        with requests.get(server.url("q/messages"), headers=accept, stream=True) as answer:
            lines = answer.iter_lines(chunk_size=1, decode_unicode=True)
            assert [next(lines) for _ in range(4)][-1] == ":"
            server.process.terminate()
            assert all(line in ("", ":") for line in lines)
        server.process.wait(10)


@pytest.mark.parametrize("query", ["?cursor=x", "?cursor=1"])
def test_a_stream_from_nowhere_is_refused(server: Server, query: str) -> None:
    accept = {"Accept": "text/event-stream"}
    answer = server.http.get(server.url(f"q/messages{query}"), headers=accept)
    assert answer.status_code == 400
    assert answer.json()["code"] == "messaging.cursor.invalid"


def test_line_breaks_in_a_body_are_no_end_of_an_event() -> None:
    event = as_event(b'{"body": [\r\n1,\n2]}', Cursor("1", 2))
    assert event == b'id: 1.2\ndata: {"body": [ \ndata: 1,\ndata: 2]}\n\n'


@pytest.mark.parametrize("cursor", ["", "x", "1.1.1", "-1.0", 5])
def test_a_cursor_that_is_none_is_refused(server: Server, cursor: object) -> None:
    with server.connected() as connection:
        answer = ask(connection, "subscription_create", queue_name="q", cursor=cursor)
    assert answer["headers"] == {"status": 400}


def test_a_subscription_that_follows_says_how_far_it_is(server: Server) -> None:
    with server.connected() as connection:
        made = follow(connection, "far", "end")
        (shown,) = ask(connection, "subscription_list", queue_name="far")["body"]["subscriptions"]
        assert shown["cursor"] == made["cursor"] == "0.0"
        server.post("far", 1)
        cursor = json.loads(connection.recv())["cursor"]
        # To subscribe again from a cursor begins there.
        follow(connection, "far", cursor)
        server.post("far", 2)
        assert json.loads(connection.recv())["body"] == 2


def test_a_webhook_has_no_cursor(server: Server) -> None:
    with server.connected() as connection:
        body = {"queue_name": "q", "subscriber": "http://example.com/", "cursor": "end"}
        assert ask(connection, "subscription_create", **body)["headers"] == {"status": 400}
    answer = server.http.post(
        server.url("q/subscriptions"), json={"subscriber": "http://example.com/", "cursor": "end"}
    )
    assert answer.status_code == 400
