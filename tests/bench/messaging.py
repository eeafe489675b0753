"""The queue service under load, beside any other server that speaks Messaging API v2.

    .venv-test/bin/python tests/bench/messaging.py [URL [URL…]] [--path /v2/queues] [--seconds 3]

Without a URL it starts a stack of ours, with its state in a temporary folder, and identity `none`.
Servers take turns, figure by figure, so that what is compared ran within seconds. `own µs` is what
the load generator itself takes for a request: it runs in one process on one processor. Nothing here
passes or fails. For a server that wants a token: --header X-Auth-Token:…
"""

import argparse
import json
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from http_load import Answer, Client, Load, MakeClient, ask, drive_apart, request

from kilo_deploy.testing import StackProcess

CLIENTS = (1, 8, 32)
BODY = "x" * 1000
FILL_POST = 100


@dataclass
class Bench:
    """One server, and what is measured on it."""

    url: str
    root: str
    headers: dict[str, str]
    seconds: float
    pid: int | None = None
    topics: list[str] = field(default_factory=list)

    def topic(self) -> str:
        """The path of a topic that was never used before."""
        self.topics.append(f"{self.root}/bench-{uuid.uuid4().hex[:12]}")
        return self.topics[-1]

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        """One request."""
        data = b"" if body is None else json.dumps(body).encode()
        return ask(self.url, self.request(method, path, data))

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        return request(method, path, self.headers, body)

    def run(self, clients: int, make: MakeClient) -> Load:
        return drive_apart(self.url, clients, make, self.seconds)

    def fill(self, topic: str, count: int) -> None:
        """Post that many messages."""
        each = 1 if count < FILL_POST else FILL_POST
        data = self.request("POST", f"{topic}/messages", messages(each))

        def client(_number: int) -> Client:
            for _ in range(count // each // 4):
                answer = yield data
                if answer.status != 201:
                    raise RuntimeError(answer.body.decode())

        drive_apart(self.url, 4, client, 600.0)

    def clean(self) -> None:
        for topic in self.topics:
            self.ask("DELETE", topic)
        self.topics.clear()


def messages(count: int) -> bytes:
    """The body of a request that posts that many."""
    return json.dumps({"messages": [{"body": BODY, "ttl": 3600}] * count}).encode()


def posts(bench: Bench, batch: int) -> MakeClient:
    """Each client posts, again and again, to one topic that all share."""
    data = bench.request("POST", f"{bench.topic()}/messages", messages(batch))

    def client(_number: int) -> Client:
        while True:
            yield data

    return client


def claims(bench: Bench, clients: int) -> MakeClient:
    """Each client claims ten and removes them, until nothing is left."""
    topic = bench.topic()
    bench.fill(topic, int(6000 * bench.seconds * (0.5 if clients == 1 else 1.5)))
    claim = bench.request("POST", f"{topic}/claims?limit=10", b'{"ttl": 300, "grace": 60}')

    def client(_number: int) -> Client:
        while True:
            found = yield claim
            if found.status == 204:
                return
            ids = [each["id"] for each in json.loads(found.body)["messages"]]
            yield bench.request("DELETE", f"{topic}/messages?ids={','.join(ids)}")

    return client


def post_to_claim(bench: Bench) -> MakeClient:
    """Each client has a topic: it posts one message, claims it and removes it."""

    topics = [bench.topic() for _ in range(max(CLIENTS))]

    def client(number: int) -> Client:
        topic = topics[number]
        post = bench.request("POST", f"{topic}/messages", messages(1))
        claim = bench.request("POST", f"{topic}/claims?limit=1")
        while True:
            yield post
            found = yield claim
            href = json.loads(found.body)["messages"][0]["href"]
            yield bench.request("DELETE", href)

    return client


def gets(bench: Bench, path: str) -> MakeClient:
    """Each client asks for the same."""
    data = bench.request("GET", path)

    def client(_number: int) -> Client:
        while True:
            yield data

    return client


def claim_only(bench: Bench, topic: str) -> MakeClient:
    """Each client claims ten and leaves them claimed."""
    data = bench.request("POST", f"{topic}/claims?limit=10", b'{"ttl": 3600, "grace": 60}')

    def client(_number: int) -> Client:
        while True:
            yield data

    return client


@dataclass
class Figure:
    """One line of the result."""

    name: str
    clients: int
    per_answer: float
    """Messages that one answer stands for."""
    make: Callable[[Bench], MakeClient]


FIGURES = [
    *(Figure("single posts", n, 1, lambda bench: posts(bench, 1)) for n in CLIENTS),
    *(Figure("posts of 10", n, 10, lambda bench: posts(bench, 10)) for n in CLIENTS),
    *(
        Figure("claim 10 + delete", n, 5, lambda bench, n=n: claims(bench, n))  # type: ignore[misc]
        for n in CLIENTS
    ),
    *(Figure("post, claim, delete", n, 1 / 3, post_to_claim) for n in CLIENTS),
    *(
        Figure("empty list", n, 1, lambda bench: gets(bench, f"{bench.topic()}/messages"))
        for n in CLIENTS
    ),
]


def measure(benches: list[Bench], chosen: str) -> None:
    """Each figure on each server in turn."""
    print(f"{'':24}{'clients':>8}{'msg/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'own µs':>8}{'cpu µs':>8}")
    for figure in FIGURES:
        if chosen not in figure.name:
            continue
        for bench in benches:
            show(bench, figure.name, figure.clients, figure.per_answer, figure.make(bench))
            bench.clean()


def show(bench: Bench, name: str, clients: int, per_answer: float, make: MakeClient) -> None:
    server = psutil.Process(bench.pid) if bench.pid else None
    before = sum(server.cpu_times()[:2]) if server else 0.0
    load = bench.run(clients, make)
    used = sum(server.cpu_times()[:2]) - before if server else 0.0
    print(
        f"{name:24}{clients:8}{load.rate * per_answer:10.0f}{load.quantile(0.5):9.2f}"
        f"{load.quantile(0.99):9.2f}{load.own_cost:8.0f}{1e6 * used / len(load.times):8.0f}  "
        f"{bench.url}" + (f"  {load.failures} REFUSED" if load.failures else ""),
        flush=True,
    )


def measure_depth(benches: list[Bench], depth: int, claimed: int) -> None:
    """The cost of a page and of a claim with that many messages present, some of them claimed."""
    for bench in benches:
        topic = bench.topic()
        began = time.perf_counter()
        bench.fill(topic, depth)
        print(f"{depth} messages posted in {time.perf_counter() - began:.1f} s")
        listing = f"{topic}/messages?limit=10&echo=true"
        show(bench, f"list, {depth} deep", 1, 1, gets(bench, listing))
        show(bench, f"list, {depth} deep", 8, 1, gets(bench, listing))
        show(bench, f"claim, {depth} deep", 1, 10, claim_only(bench, topic))
        claim = json.dumps({"ttl": 3600, "grace": 60}).encode()
        data = bench.request("POST", f"{topic}/claims?limit=20", claim)

        def more(_number: int, data: bytes = data) -> Client:
            for _ in range(claimed // 20 // 4):
                yield data

        drive_apart(bench.url, 4, more, 600.0)
        show(bench, f"list, {claimed} claimed", 1, 1, gets(bench, listing))
        show(bench, f"list, {claimed} claimed", 8, 1, gets(bench, listing))
        show(bench, f"claim, {claimed} claimed", 1, 10, claim_only(bench, topic))
        bench.clean()


def soak(bench: Bench, seconds: float) -> None:
    """Post, claim and delete for so long; resident memory every tenth of it."""
    if bench.pid is None:
        sys.exit("--soak needs --pid, or a stack of our own")
    server = psutil.Process(bench.pid)
    bench.seconds = seconds / 10
    for step in range(11):
        rss = server.memory_info().rss / 2**20
        print(f"after {step * bench.seconds:6.0f} s  {rss:7.1f} MiB", flush=True)
        if step < 10:
            load = bench.run(16, post_to_claim(bench))
            print(f"    {load.rate:.0f} requests/s, {load.failures} refused")


@contextmanager
def own_stack() -> Iterator[tuple[str, int]]:
    """A stack of ours with nothing in it: its URL and process."""
    with tempfile.TemporaryDirectory() as folder:
        stack = StackProcess(Path(folder) / "state", ["--auth", "none"])
        try:
            yield stack.wait_ready().messaging_url, stack.pid
        finally:
            stack.interrupt()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("urls", nargs="*")
    parser.add_argument("--path", default="/v2/queues", help="or /v2/topics")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each figure")
    parser.add_argument("--only", default="", help="figures whose name holds this")
    parser.add_argument("--depth", type=int, default=0, help="also with so many messages present")
    parser.add_argument("--claimed", type=int, default=10_000, help="of which so many are claimed")
    parser.add_argument("--soak", type=float, default=0.0, help="seconds; nothing else is measured")
    parser.add_argument("--pid", type=int, help="the server's process, for its memory and time")
    parser.add_argument("--header", action="append", default=[], help="NAME:VALUE for each request")
    options = parser.parse_args()
    headers = {"Client-ID": str(uuid.uuid4()), "X-Project-Id": "bench"}
    headers |= {name: value for name, _, value in (each.partition(":") for each in options.header)}

    def run(urls: list[str], pid: int | None) -> None:
        benches = [Bench(url, options.path, headers, options.seconds, pid) for url in urls]
        if options.soak:
            soak(benches[0], options.soak)
        elif options.depth:
            measure_depth(benches, options.depth, options.claimed)
        else:
            measure(benches, options.only)

    if options.urls:
        run(options.urls, options.pid)
    else:
        with own_stack() as (url, pid):
            run([url], pid)


if __name__ == "__main__":
    main()
