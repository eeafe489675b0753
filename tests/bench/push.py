"""WebSocket under load: pipelined posts, pushes to many subscribers, and idle connections.

    .venv-test/bin/python tests/bench/push.py [--seconds 5] [--idle 5000] [--only posts|push|idle]

It starts a stack of ours with its state in a temporary folder; messages are as durable as ever.
Nothing here passes or fails.
"""

import argparse
import base64
import json
import os
import resource
import selectors
import socket
import struct
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from kilo_deploy.testing import StackProcess

HEADERS = {"Client-ID": "3381af92-2b9e-11e3-b191-71861300734c", "X-Project-ID": "bench"}
WINDOW = 2000
"""Requests under way at most."""


@dataclass
class Bench:
    """A stack under measurement."""

    url: str
    process: psutil.Process

    def cpu(self) -> float:
        """Seconds of processor time that it has taken."""
        times = self.process.cpu_times()
        return times.user + times.system

    def memory(self) -> int:
        """Bytes it holds."""
        return self.process.memory_info().rss


def connect(url: str) -> socket.socket:
    """A raw WebSocket connection, past its handshake."""
    place = urlsplit(url)
    made = socket.create_connection((place.hostname or "", place.port or 80))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = base64.b64encode(os.urandom(16)).decode()
    made.sendall(
        f"GET / HTTP/1.1\r\nHost: {place.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += made.recv(1)
    return made


def masked(text: bytes) -> bytes:
    """A text frame; a mask of zeros changes nothing, and costs the server what any mask costs."""
    size = len(text)
    head = (
        struct.pack("!BB", 0x81, 0x80 | size)
        if size < 126
        else struct.pack("!BBH", 0x81, 0xFE, size)
    )
    return head + bytes(4) + text


@dataclass
class Frames:
    """Reads the frames of a server, all of them of less than 64 KiB."""

    connection: socket.socket
    _rest: bytes = b""

    def some(self) -> list[bytes]:
        """Those that come next, one at least."""
        found: list[bytes] = []
        while not found:
            piece = self.connection.recv(1 << 20)
            if not piece:
                raise EOFError("the server closed the connection")
            data, at = self._rest + piece, 0
            while len(data) - at >= 4:
                size, head = data[at + 1], 2
                if size == 126:
                    size, head = int.from_bytes(data[at + 2 : at + 4], "big"), 4
                if len(data) - at < head + size:
                    break
                found.append(data[at + head : at + head + size])
                at += head + size
            self._rest = data[at:]
        return found


def post_rate(url: str, seconds: float, body: str) -> tuple[float, int]:
    """Posts a second on one connection, which waits for no answer; and how many there were."""
    connection = connect(url)
    frames = Frames(connection)
    request = {
        "action": "message_post",
        "headers": {},
        "body": {"queue_name": "posts", "messages": [{"body": body, "ttl": 3600}]},
    }
    connection.sendall(
        masked(json.dumps(request | {"action": "authenticate", "headers": HEADERS}).encode())
    )
    assert b"Authentified" in frames.some()[0]
    texts = [masked(json.dumps(request | {"request_id": number}).encode()) for number in range(100)]
    block, answered, sent, began = b"".join(texts), 0, 0, time.perf_counter()
    room = threading.Semaphore(WINDOW // 100)
    ending = threading.Event()

    def send() -> None:
        nonlocal sent
        while not ending.is_set():
            room.acquire()
            connection.sendall(block)
            sent += 100

    sender = threading.Thread(target=send)
    sender.start()
    freed = 0
    while answered < sent or not ending.is_set():
        found = frames.some()
        if b'"status":201' not in found[0]:
            raise RuntimeError(found[0].decode())
        answered += len(found)
        while freed + 100 <= answered:
            room.release()
            freed += 100
        if time.perf_counter() - began > seconds and not ending.is_set():
            ending.set()
    rate = answered / (time.perf_counter() - began)
    sender.join()
    connection.close()
    return rate, answered


def percentile(values: list[float], part: float) -> float:
    """In milliseconds."""
    return sorted(values)[int(len(values) * part)] * 1000


def show_posts(bench: Bench, seconds: float) -> None:
    for size in (10, 1000):
        spent = bench.cpu()
        rate, count = post_rate(bench.url, seconds, "x" * size)
        each = (bench.cpu() - spent) / count * 1e6
        print(
            f"posts of {size:5} bytes, pipelined   {rate:8.0f}/s   {each:5.1f} µs of our CPU each"
        )


def post_to_push(bench: Bench, subscribers: int, posts: int, cursor: str | None) -> list[float]:
    """Seconds from sending a post to each push of it, one post at a time."""
    topic = f"push-{subscribers}-{cursor}"
    followers = [connect(bench.url) for _ in range(subscribers)]
    body = {"queue_name": topic} | ({"cursor": cursor} if cursor else {})
    subscribe = {"action": "subscription_create", "headers": HEADERS, "body": body}
    for each in followers:
        each.sendall(masked(json.dumps(subscribe).encode()))
        assert b'"status":201' in Frames(each).some()[0]
    poster = connect(bench.url)
    post = {
        "action": "message_post",
        "headers": HEADERS,
        "body": {"queue_name": topic, "messages": [{"body": "x" * 100, "ttl": 300}]},
    }
    frame = masked(json.dumps(post).encode())
    times: list[float] = []
    with selectors.DefaultSelector() as ready:
        for each in followers:
            ready.register(each, selectors.EVENT_READ)
        for _ in range(posts):
            began, missing = time.perf_counter(), subscribers
            poster.sendall(frame)
            while missing:
                for key, _events in ready.select():
                    Frames(key.fileobj).some()
                    times.append(time.perf_counter() - began)
                    missing -= 1
            poster.recv(65536)
    for each in (*followers, poster):
        each.close()
    return times


def show_pushes(bench: Bench) -> None:
    for cursor in (None, "end"):
        kind = "with a cursor" if cursor else "as a courtesy"
        for subscribers, posts in ((1, 300), (10, 200), (100, 50)):
            times = post_to_push(bench, subscribers, posts, cursor)
            middle, high = percentile(times, 0.5), percentile(times, 0.95)
            print(
                f"post to push, {subscribers:3} {kind}   p50 {middle:6.2f} ms   p95 {high:6.2f} ms"
            )


def show_idle(bench: Bench, count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, count + 200), hard))
    connect(bench.url).close()
    before = bench.memory()
    idle = [connect(bench.url) for _ in range(count)]
    for each in idle:
        each.sendall(masked(json.dumps({"action": "authenticate", "headers": HEADERS}).encode()))
    for each in idle:
        Frames(each).some()
    kilobytes = (bench.memory() - before) / count / 1000
    print(f"{count} idle connections            {kilobytes:8.1f} kB each")
    for each in idle:
        each.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--idle", type=int, default=5000)
    parser.add_argument("--only", choices=("posts", "push", "idle"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stack = StackProcess(Path(folder) / "state", ["--auth", "none"])
        bench = Bench(stack.wait_ready().messaging_url, psutil.Process(stack.pid))
        if options.only in (None, "posts"):
            show_posts(bench, options.seconds)
        if options.only in (None, "push"):
            show_pushes(bench)
        if options.only in (None, "idle"):
            show_idle(bench, options.idle)
        stack.interrupt()


if __name__ == "__main__":
    main()
