"""Webhooks under load: what reaches a sink on loopback, and what is left after a kill -9.

    .venv-test/bin/python tests/bench/webhooks.py [--messages 5000] [--subscribers 4] [--kill 10000]

A stack of ours is started with its state in a temporary folder. Messages are posted first, in tens,
while the webhooks are paused; then the webhooks are let go, and the time until the last delivery
arrives is taken. The sink is a process of its own, keeps connections open and answers 204. With
`--kill N` the stack is killed once half of N deliveries have arrived, and started again; each must
arrive, and those that arrive twice are counted. Nothing here passes or fails.
"""

import argparse
import json
import multiprocessing
import selectors
import socket
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httptools
import psutil
from http_load import ask, request

from kilo_deploy.testing import StackProcess

LEASE = 5
"""Seconds after which what a dead process had in hand is delivered again."""
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


class Sink:
    """A web server that does nothing but count ids."""

    def __init__(self) -> None:
        ours, theirs = multiprocessing.Pipe()
        self._pipe = ours
        self._process = multiprocessing.Process(target=serve, args=(theirs,), daemon=True)
        self._process.start()
        self.port: int = ours.recv()

    def counts(self) -> tuple[int, int]:
        """How many deliveries came, and how many different ones."""
        self._pipe.send("counts")
        total, different = self._pipe.recv()
        return total, different

    def end(self) -> None:
        self._process.terminate()
        self._process.join()


def serve(pipe: Connection) -> None:
    """Answer every POST; in a process of its own."""
    seen: set[tuple[bytes, bytes]] = set()
    total = 0
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    listener.setblocking(False)
    pipe.send(listener.getsockname()[1])
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(pipe, selectors.EVENT_READ)
    parsers: dict[socket.socket, httptools.HttpRequestParser] = {}

    class Request:
        def __init__(self, connection: socket.socket) -> None:
            self._connection = connection
            self._path = b""
            self._id = b""

        def on_url(self, path: bytes) -> None:
            self._path = path

        def on_header(self, name: bytes, value: bytes) -> None:
            if name.lower() == b"webhook-id":
                self._id = value

        def on_message_complete(self) -> None:
            nonlocal total
            total += 1
            seen.add((self._path, self._id))
            self._connection.sendall(NO_CONTENT)

    while True:
        for key, _events in selector.select():
            if key.fileobj is listener:
                connection, _address = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                parsers[connection] = httptools.HttpRequestParser(Request(connection))
                selector.register(connection, selectors.EVENT_READ)
            elif key.fileobj is pipe:
                pipe.recv()
                pipe.send((total, len(seen)))
            else:
                connection = key.fileobj  # type: ignore[assignment]  # the rest are connections
                data = _received(connection)
                if data:
                    parsers[connection].feed_data(data)
                else:
                    selector.unregister(connection)
                    del parsers[connection]
                    connection.close()


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except ConnectionError:
        return b""


class Service:
    """A stack, killed and started again over the same state."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack, self._url = self._start()
        self._headers = {"Client-ID": "3381af92-2b9e-11e3-b191-71861300734c", "X-Project-ID": "p"}

    def _start(self) -> tuple[StackProcess, str]:
        stack = StackProcess(
            self._folder,
            ["--auth", "none"],
            {
                "KILO_MESSAGING__DELIVERIES__FETCH__ALLOW_LOOPBACK": "true",
                "KILO_MESSAGING__DELIVERIES__TIMEOUT": "1",
                "KILO_MESSAGING__DELIVERIES__LEASE": str(LEASE),
            },
        )
        return stack, stack.wait_ready().messaging_url

    def ask(self, method: str, path: str, body: object) -> Any:
        data = request(method, path, self._headers, json.dumps(body).encode())
        answer = ask(self._url, data)
        if answer.status >= 300:
            raise RuntimeError(answer.body.decode())
        return json.loads(answer.body or b"null")

    def kill(self) -> None:
        self._stack.kill()
        self._stack, self._url = self._start()

    @property
    def cpu(self) -> float:
        """Seconds of a processor that it has used."""
        used = psutil.Process(self._stack.pid).cpu_times()
        return used.user + used.system

    def stop(self) -> None:
        self._stack.interrupt()


def let_go(service: Service, sink: Sink, topic: str, messages: int, subscribers: int) -> None:
    """Subscribe, post, and resume: from now on the deliveries run."""
    path = f"/v2/topics/{topic}"
    service.ask("PUT", path, {})
    made: list[str] = []
    for number in range(subscribers):
        body = {"subscriber": f"http://127.0.0.1:{sink.port}/{topic}/{number}", "ttl": 3600}
        found = service.ask("POST", f"{path}/subscriptions", body)
        made.append(f"{path}/subscriptions/{found['subscription_id']}")
        service.ask("PATCH", made[-1], {"state": "paused"})
    for start in range(0, messages, 10):
        batch = [{"body": {"n": n}, "ttl": 3600} for n in range(start, min(start + 10, messages))]
        service.ask("POST", f"{path}/messages", {"messages": batch})
    for each in made:
        service.ask("PATCH", each, {"state": "active"})


def wait(sink: Sink, count: int, limit: float = 120.0) -> tuple[float, int]:
    """Seconds until that many different deliveries have come, and how many came in all."""
    began = time.perf_counter()
    while True:
        total, different = sink.counts()
        if different >= count or time.perf_counter() - began > limit:
            return time.perf_counter() - began, total
        time.sleep(0.01)


def throughput(folder: Path, messages: int, subscribers: int) -> None:
    service, sink = Service(folder), Sink()
    before = service.cpu
    let_go(service, sink, "rate", messages, subscribers)
    already, _ = sink.counts()
    count = messages * subscribers
    seconds, _total = wait(sink, count)
    used = service.cpu - before
    print(
        f"{count} deliveries to {subscribers} subscribers: {(count - already) / seconds:,.0f}/s "
        f"({used / count * 1e6:.0f} µs of a processor each, posting included)"
    )
    service.stop()
    sink.end()


def killed(folder: Path, count: int) -> None:
    subscribers = 4
    service, sink = Service(folder), Sink()
    let_go(service, sink, "kill", count // subscribers, subscribers)
    wait(sink, count // 2)
    service.kill()
    seconds, _total = wait(sink, count)
    time.sleep(LEASE + 1)  # what was sent and not yet recorded is sent once more
    total, different = sink.counts()
    print(
        f"kill -9 amid {count} deliveries: {different} arrived, {total - different} of them twice, "
        f"the last {seconds:.1f} s after the restart"
    )
    service.stop()
    sink.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--subscribers", type=int, default=4)
    parser.add_argument("--kill", type=int, default=0, metavar="N")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if asked.kill:
            killed(Path(folder), asked.kill)
        else:
            throughput(Path(folder), asked.messages // asked.subscribers, asked.subscribers)


if __name__ == "__main__":
    main()
