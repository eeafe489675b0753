"""The service as a process: kill -9, keep-alive, many consumers, and WebSocket from outside."""

import json
import signal
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
import websocket

from support.messaging_server import HEADERS, Server, ask, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("messaging")) as running:
        yield running


def ends(connection: websocket.WebSocket) -> bool:
    """Read until the connection ends; False if it has not after many frames."""
    for _ in range(1000):
        try:
            if connection.recv_data()[0] == websocket.ABNF.OPCODE_CLOSE:
                return True
        except (websocket.WebSocketException, OSError):
            return True
    return False


# Durability and speed


def test_no_acknowledged_message_is_lost_by_kill_9(tmp_path: Path) -> None:
    acknowledged: list[str] = []

    def post_until_it_dies(server: Server, name: int) -> None:
        with requests.Session() as session:
            session.headers.update(HEADERS)
            for number in range(100_000):
                body = f"{name}-{number}"
                try:
                    answer = session.post(
                        server.url("q/messages"), json={"messages": [{"body": body, "ttl": 600}]}
                    )
                except requests.RequestException:
                    return
                if answer.status_code == 201:
                    acknowledged.append(body)

    with serving(tmp_path) as server, ThreadPoolExecutor(4) as posters:
        running = [posters.submit(post_until_it_dies, server, name) for name in range(4)]
        while len(acknowledged) < 200:
            time.sleep(0.01)
        server.kill()
        for each in running:
            each.result()
    found: set[str] = set()
    with serving(tmp_path) as server:
        while popped := server.http.delete(server.url("q/messages?pop=20")).json()["messages"]:
            found |= {message["body"] for message in popped}
    assert len(acknowledged) >= 200
    assert set(acknowledged) <= found


def test_keep_alive_answers_do_not_wait_for_delayed_acknowledgements(server: Server) -> None:
    url = f"http://127.0.0.1:{server.port}/"
    spent: list[float] = []
    for _ in range(30):
        began = time.perf_counter()
        assert server.http.get(url).status_code == 300
        spent.append(time.perf_counter() - began)
    assert sorted(spent)[len(spent) // 2] < 0.005 * 4  # generous: other work shares the machine


def test_eight_consumers_lose_nothing_and_share_nothing(server: Server) -> None:
    total = 1000
    for start in range(0, total, 50):
        server.post("shared", *range(start, start + 50))

    def consume(_name: int) -> list[int]:
        taken: list[int] = []
        with requests.Session() as session:
            session.headers.update(HEADERS)
            while True:
                answer = session.post(server.url("shared/claims?limit=20"), json={"ttl": 600})
                if answer.status_code == 204:
                    return taken
                taken += [message["body"] for message in answer.json()["messages"]]

    with ThreadPoolExecutor(8) as consumers:
        taken = [each for found in consumers.map(consume, range(8)) for each in found]
    assert sorted(taken) == list(range(total))


# WebSocket


def test_a_subscriber_sees_what_is_posted_over_http(server: Server) -> None:
    with server.connected() as connection:
        assert ask(connection, "subscription_create", queue_name="news")["headers"] == {
            "status": 201
        }
        began = time.perf_counter()
        server.post("news", {"n": 1})
        assert json.loads(connection.recv()) == {
            "body": {"n": 1},
            "ttl": 600,
            "queue_name": "news",
            "Message_Type": "Notification",
        }
        assert time.perf_counter() - began < 1


@pytest.mark.parametrize("path", ["/", "/v2", "/v2/websocket"])
def test_every_path_takes_a_websocket(server: Server, path: str) -> None:
    with server.connected(path) as connection:
        assert ask(connection, "authenticate")["body"] == {"message": "Authentified."}


def test_binary_frames_speak_messagepack(server: Server) -> None:
    with server.connected() as connection:

        def ask_packed(action: str, **body: Any) -> Any:
            request = {"action": action, "headers": HEADERS, "body": body}
            connection.send_binary(msgspec.msgpack.encode(request))
            opcode, frame = connection.recv_data()
            assert opcode == websocket.ABNF.OPCODE_BINARY
            return msgspec.msgpack.decode(frame)

        assert ask_packed("subscription_create", topic_name="packed")["headers"]["status"] == 201
        # The push and the answer travel on different ways: either may come first.
        first = ask_packed(
            "message_post", topic_name="packed", messages=[{"body": {"é": 1}, "ttl": 60}]
        )
        second = msgspec.msgpack.decode(connection.recv_data()[1])
        push = first if "Message_Type" in first else second
        assert push["body"] == {"é": 1}


def test_a_message_in_pieces_is_one_message(server: Server) -> None:
    with server.connected() as connection:
        text = json.dumps({"action": "queue_list", "headers": HEADERS}).encode()
        connection.send_frame(websocket.ABNF.create_frame(text[:9], websocket.ABNF.OPCODE_TEXT, 0))
        connection.ping("still there?")
        connection.send_frame(websocket.ABNF.create_frame(text[9:], websocket.ABNF.OPCODE_CONT, 1))
        assert json.loads(connection.recv())["headers"] == {"status": 200}


def test_a_frame_beyond_the_limit_closes_the_connection(server: Server) -> None:
    with server.connected() as connection:
        connection.send("x" * 400_000)
        opcode, reason = connection.recv_data()
        assert opcode == websocket.ABNF.OPCODE_CLOSE
        assert struct.unpack("!H", reason[:2]) == (1009,)


def test_a_page_of_another_site_may_not_connect(server: Server) -> None:
    with (
        pytest.raises(websocket.WebSocketBadStatusException) as refused,
        server.connected(origin="https://evil.test"),
    ):
        pass
    assert refused.value.status_code == 403
    with server.connected(origin="https://friend.test") as connection:
        assert connection.connected


def test_a_bad_handshake_is_refused(server: Server) -> None:
    response = server.http.get(
        f"http://127.0.0.1:{server.port}/",
        headers={"Upgrade": "websocket", "Connection": "Upgrade"},
    )
    assert response.status_code == 400
    assert response.json()["code"] == "messaging.websocket.handshake_invalid"


def test_a_silent_client_is_pinged_and_then_let_go(server: Server) -> None:
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=5)
    raw.sendall(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    received = b""
    while piece := raw.recv(65536):
        received += piece
    raw.close()
    head, _, frames = received.partition(b"\r\n\r\n")
    assert b"101" in head.splitlines()[0]
    assert frames.startswith(b"\x89\x00")  # a ping
    assert struct.pack("!H", 1001) in frames


def test_a_server_that_stops_says_goodbye_and_does_not_wait(tmp_path: Path) -> None:
    with serving(tmp_path) as server, server.connected() as connection:
        assert ask(connection, "subscription_create", queue_name="news")["headers"]["status"] == 201
        began = time.perf_counter()
        server.process.terminate()
        opcode, reason = connection.recv_data()
        server.process.wait(10)
    assert opcode == websocket.ABNF.OPCODE_CLOSE
    assert struct.unpack("!H", reason[:2]) == (1001,)
    assert time.perf_counter() - began < 10


def test_a_slow_subscriber_is_dropped_and_delays_nobody(server: Server) -> None:
    slow = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    # Less than a segment on loopback would be read at a crawl.
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
    connection = websocket.create_connection(f"ws://127.0.0.1:{server.port}/", socket=slow)
    assert ask(connection, "subscription_create", queue_name="flood")["headers"]["status"] == 201
    began = time.perf_counter()
    for _ in range(60):
        server.post("flood", "x" * 100_000)
    assert time.perf_counter() - began < 20
    assert ends(connection)
    slow.close()
    assert server.http.get(server.url("flood/stats")).json()["messages"]["total"] == 60


def test_a_claim_that_waits_is_answered_by_a_post_and_holds_up_nobody(server: Server) -> None:
    def claim(_number: int) -> int:
        url = server.url("later/claims?wait=10&limit=1")
        return requests.post(url, headers=HEADERS, timeout=20).status_code

    with ThreadPoolExecutor(12) as consumers:
        waiting = [consumers.submit(claim, number) for number in range(12)]
        began = time.monotonic()
        server.post("elsewhere", 1)
        assert time.monotonic() - began < 2
        server.post("later", *range(12))
        assert [each.result() for each in waiting] == [201] * 12
    assert time.monotonic() - began < 8


def test_a_claim_over_websocket_waits_too(server: Server) -> None:
    with server.connected() as connection, ThreadPoolExecutor(1) as poster:
        body = {"queue_name": "later", "wait": 10}
        request = {"action": "claim_create", "headers": HEADERS, "body": body}
        connection.settimeout(15)
        connection.send(json.dumps(request))
        poster.submit(server.post, "later", 7)
        answer = json.loads(connection.recv())
    assert answer["headers"]["status"] == 201
    assert answer["body"]["messages"][0]["body"] == 7


def test_a_server_that_stops_answers_who_waits(tmp_path: Path) -> None:
    with serving(tmp_path) as server, ThreadPoolExecutor(1) as consumer:
        server.post("elsewhere", 1)
        url = server.url("later/claims?wait=20")
        waiting = consumer.submit(requests.post, url, headers=HEADERS, timeout=30)
        while not waiting.running():
            time.sleep(0.01)
        server.http.get(server.url("later/stats"))
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert waiting.result().status_code == 204
        assert time.monotonic() - began < 5
