"""WebSocket under load: pipelined posts, pushes to many subscribers, and idle connections.

    .venv-test/bin/python tests/bench/push.py [--seconds 5] [--idle 5000] [--only posts|push|idle]

It starts a stack of ours with its state in a temporary folder; messages are as durable as ever.
Nothing here passes or fails.
"""

import argparse
import base64
import json
import os
import socket
import struct
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kilo_deploy.testing import StackProcess

HEADERS = {"Client-ID": "3381af92-2b9e-11e3-b191-71861300734c", "X-Project-ID": "bench"}
WINDOW = 2000
"""Requests under way at most."""


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


def post_rate(url: str, seconds: float, body: str) -> float:
    """Posts a second on one connection: requests are sent without waiting for answers."""
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
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--url")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = options.url
        if not url:
            stack = StackProcess(Path(folder) / "state", ["--auth", "none"])
            info = stack.wait_ready()
            url = info.messaging_url
            print(stack.pid, flush=True)
        for size in (10, 1000):
            print(size, post_rate(url, options.seconds, "x" * size))
        if not options.url:
            stack.interrupt()


if __name__ == "__main__":
    main()
