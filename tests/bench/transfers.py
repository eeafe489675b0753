"""Uploads and downloads of large images, beside what the machine can do at that moment.

    python tests/bench/transfers.py [--size-mib N] [--runs N] [--url http://HOST:9292]

Without a URL a stack of its own is started. The client sends and receives with few system calls
and looks at no byte. The yardsticks: md5 and sha512 over the same bytes in a thread each, which no
upload can beat, and bytes from a file through a socket by sendfile. Nothing here passes or fails.
"""

import argparse
import hashlib
import os
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from kilo_deploy.client import ApiClient
from kilo_deploy.testing import StackProcess

MIB = 1 << 20
RECORD = {"disk_format": "raw", "container_format": "bare"}


class Bench:
    """One server, one file of random bytes."""

    def __init__(self, url: str, file: Path) -> None:
        self.catalog = ApiClient(url, {"X-Project-Id": "bench", "X-Roles": "admin,member"})
        self.address = (urlsplit(url).hostname, urlsplit(url).port)
        self.file = file
        self.size = file.stat().st_size

    def upload(self, path: str) -> None:
        with self._connect() as sock, self.file.open("rb") as file:
            head = f"PUT {path}/file HTTP/1.1\r\nHost: bench\r\nX-Project-Id: bench\r\n"
            head += "X-Roles: admin,member\r\nContent-Type: application/octet-stream\r\n"
            sock.sendall(f"{head}Content-Length: {self.size}\r\n\r\n".encode())
            _send_file(sock, file.fileno(), self.size)
            answer = sock.recv(65536)
            assert b" 204 " in answer.partition(b"\r\n")[0], answer

    def download(self, path: str) -> None:
        with self._connect() as sock:
            head = f"GET {path}/file HTTP/1.1\r\nHost: bench\r\nX-Project-Id: bench\r\n"
            sock.sendall(f"{head}X-Roles: admin,member\r\nConnection: close\r\n\r\n".encode())
            received = _drain(sock)
        assert self.size < received < self.size + 4096, received

    def make(self) -> str:
        return f"/v2/images/{self.catalog.json('POST', '/v2/images', RECORD)['id']}"

    def _connect(self) -> socket.socket:
        return socket.create_connection(self.address)


def _send_file(sock: socket.socket, descriptor: int, size: int) -> None:
    sent = 0
    while sent < size:
        sent += os.sendfile(sock.fileno(), descriptor, sent, size - sent)


def _drain(sock: socket.socket) -> int:
    buffer, received = bytearray(MIB), 0
    while count := sock.recv_into(buffer):
        received += count
    return received


def hash_rate(file: Path) -> float:
    """MB/s of md5 and sha512 side by side."""

    def work(algorithm: str) -> None:
        with file.open("rb", buffering=0) as stream:
            hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False))

    return rate(file.stat().st_size, [lambda: work("md5"), lambda: work("sha512")])


def pipe_rate(file: Path, streams: int) -> float:
    """MB/s of a file sent through a socket, by each of several pairs."""

    def work() -> None:
        ours, theirs = socket.socketpair()
        reader = threading.Thread(target=_drain, args=(theirs,))
        reader.start()
        with file.open("rb") as stream:
            _send_file(ours, stream.fileno(), file.stat().st_size)
        ours.close()
        reader.join()
        theirs.close()

    return streams * rate(file.stat().st_size, [work] * streams)


def rate(size: int, works: list[Callable[[], None]]) -> float:
    """MB/s at which so many bytes pass while all works are done, each in a thread."""
    threads = [threading.Thread(target=work) for work in works]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return size / 1e6 / (time.perf_counter() - began)


def uploads(bench: Bench, streams: int) -> float:
    paths = [bench.make() for _ in range(streams)]
    result = streams * rate(bench.size, [lambda p=p: bench.upload(p) for p in paths])  # type: ignore[misc]
    for path in paths:
        bench.catalog.json("DELETE", path)
    return result


def downloads(bench: Bench, path: str, streams: int) -> float:
    return streams * rate(bench.size, [lambda: bench.download(path)] * streams)


def show(name: str, values: list[float], base: float | None = None) -> float:
    median = statistics.median(values)
    ratio = "" if base is None else f"   {median / base:.2f} of the yardstick"
    print(f"{name:34} {median:7.0f} MB/s  ({min(values):.0f} … {max(values):.0f}){ratio}")
    return median


def measure(bench: Bench, runs: int) -> None:
    for streams in (1, 4):
        pairs = [(hash_rate(bench.file), uploads(bench, streams)) for _ in range(runs)]
        base = show("md5 and sha512, a thread each", [each[0] for each in pairs])
        show(f"upload, {streams} stream(s)", [each[1] for each in pairs], base)
    path = bench.make()
    bench.upload(path)
    for streams in (1, 4):
        both = [
            (pipe_rate(bench.file, streams), downloads(bench, path, streams)) for _ in range(runs)
        ]
        base = show(f"sendfile, {streams} pair(s)", [each[0] for each in both])
        show(f"download, {streams} stream(s)", [each[1] for each in both], base)
    bench.catalog.json("DELETE", path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--url", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data"
        with file.open("wb") as stream:
            for _ in range(options.size_mib):
                stream.write(os.urandom(MIB))
        if options.url:
            measure(Bench(options.url, file), options.runs)
            return
        stack = StackProcess(Path(folder) / "state", ["--auth", "none"])
        try:
            measure(Bench(stack.wait_ready().catalog_url, file), options.runs)
        finally:
            stack.interrupt()


if __name__ == "__main__":
    main()
