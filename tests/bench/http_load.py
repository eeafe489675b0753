"""A lean HTTP/1.1 load generator: many connections in one process, nothing but sockets and epoll.

Each client is a generator that yields the bytes of a request and is sent the answer; a connection
has one request under way at a time. What the generator costs itself is measured too: against a
server that takes longer than that per request, it is not the ceiling.
"""

import multiprocessing
import os
import re
import select
import socket
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


@dataclass(slots=True)
class Answer:
    """What a server said."""

    status: int
    head: bytes
    body: bytes


Client: TypeAlias = Generator[bytes, Answer, None]
"""Yields requests, gets answers; ends by itself or at the end of the time."""
MakeClient: TypeAlias = Callable[[int], Client]
"""Makes the client of that number."""


@dataclass
class Load:
    """What came of a run."""

    seconds: float
    cpu: float
    """Seconds of processor time that the generator itself used."""
    times: list[float] = field(default_factory=list)
    """Seconds for each answer, or for each of the spans that a client marked."""
    failures: int = 0
    """Answers of 400 and above."""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.times) / self.seconds

    def quantile(self, share: float) -> float:
        """Milliseconds within which that share was answered."""
        ordered = sorted(self.times)
        return 1000 * ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0

    @property
    def own_cost(self) -> float:
        """Microseconds of the generator's own time for each answer."""
        return 1e6 * self.cpu / max(len(self.times), 1)


def request(
    method: str, path: str, headers: dict[str, str], body: bytes = b"", host: str = "bench"
) -> bytes:
    """The bytes of one request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body or method in ("POST", "PUT", "PATCH"):
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def ask(url: str, data: bytes) -> Answer:
    """One request on a connection of its own."""
    answers: list[Answer] = []

    def client(_number: int) -> Client:
        answers.append((yield data))

    drive(url, 1, client, 120.0)
    return answers[0]


def drive(url: str, clients: int, make: MakeClient, seconds: float) -> Load:
    """Let that many clients work for so long in this process; each ends with its last answer."""
    parts = urlsplit(url)
    address = (parts.hostname or "127.0.0.1", parts.port or 80)
    poll = select.epoll()
    lines = {line.fileno(): line for line in (_Line(address, make(n)) for n in range(clients))}
    for number, line in lines.items():
        poll.register(number, select.EPOLLIN)
        line.begin()
    load = Load(0.0, 0.0)
    began, worked = time.perf_counter(), time.process_time()
    end = began + seconds
    while lines:
        for number, _events in poll.poll(30.0) or _nothing_came():
            line = lines[number]
            answer = line.receive()
            if answer is None:
                continue
            now = time.perf_counter()
            load.times.append(now - line.asked_at)
            load.failures += answer.status >= 400
            if line.must_reopen:
                poll.unregister(number)
                del lines[number]
                line.reopen()
                number = line.fileno()
                lines[number] = line
                poll.register(number, select.EPOLLIN)
            if not line.go_on(answer, over=now > end):
                poll.unregister(number)
                del lines[number]
                line.close()
    load.seconds = time.perf_counter() - began
    load.cpu = time.process_time() - worked
    poll.close()
    return load


def drive_apart(url: str, clients: int, make: MakeClient, seconds: float) -> Load:
    """`drive` in a process of its own, so that nothing of the caller's slows it down."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            theirs.send(drive(url, clients, make, seconds))
            code = 0
        finally:
            os._exit(code)
    theirs.close()
    load: Load = ours.recv()
    os.waitpid(child, 0)
    return load


def _nothing_came() -> Sequence[tuple[int, int]]:
    raise TimeoutError("the server did not answer for 30 s")


class _Line:
    """One connection with the client that uses it."""

    def __init__(self, address: tuple[str, int], client: Client) -> None:
        self._address = address
        self._client = client
        self._socket = self._open()
        self._buffer = b""
        self._wanted = -1
        self.asked_at = 0.0
        self.must_reopen = False

    def _open(self) -> socket.socket:
        opened = socket.create_connection(self._address, timeout=30)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    def fileno(self) -> int:
        return self._socket.fileno()

    def begin(self) -> None:
        self._ask(next(self._client))

    def go_on(self, answer: Answer, *, over: bool) -> bool:
        """Ask what follows; False if the client is done, or the time is over."""
        try:
            following = self._client.send(answer)
        except StopIteration:
            return False
        if over:
            return False
        self._ask(following)
        return True

    def _ask(self, data: bytes) -> None:
        self.asked_at = time.perf_counter()
        self._socket.sendall(data)

    def receive(self) -> Answer | None:
        """The answer, once all of it is here."""
        piece = self._socket.recv(1 << 18)
        self._buffer = self._buffer + piece if self._buffer else piece
        data = self._buffer
        split = data.find(b"\r\n\r\n")
        if split < 0:
            if not piece:
                raise ConnectionError("the server hung up")
            return None
        head, start = data[:split], split + 4
        length = _LENGTH.search(head)
        if length is not None:
            if len(data) < start + int(length[1]):
                return None
        elif _CHUNKED.search(head):
            if not data.endswith(b"0\r\n\r\n"):
                return None
        elif head[9:12] != b"204" and piece:
            return None  # until the server closes
        self.must_reopen = _CLOSE.search(head) is not None or not piece
        self._buffer = b""
        return Answer(int(head[9:12]), head, data[start:])

    def reopen(self) -> None:
        self._socket.close()
        self._socket = self._open()

    def close(self) -> None:
        self._client.close()
        self._socket.close()
