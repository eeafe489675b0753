"""Records of an image catalog under load: ours beside any other server that speaks Image API v2.

    .venv-test/bin/python tests/bench/catalog.py [URL [URL…]] [--images 10,10000,100000]

Without a URL it starts a stack of ours, with its state in a temporary folder, and identity `none`;
`--auth dev` signs in instead. Servers take turns, figure by figure, so that what is compared ran
within seconds; with several, each line has its ratio to the first. Where a server has fewer images
than `--images` asks for, records are made until it has them. `own µs` is what the load generator
itself takes for a request. Nothing here passes or fails. For a server that wants a token:
--header X-Auth-Token:…
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from http_load import Answer, Client, Load, MakeClient, ask, drive_apart, request

from kilo_deploy.accounts import sign_in
from kilo_deploy.testing import StackProcess

RECORD = {
    "disk_format": "qcow2",
    "container_format": "bare",
    "tags": ["bench", "linux"],
    "os_distro": "debian",
    "hw_disk_bus": "virtio",
}
FILLERS = 16


@dataclass
class Bench:
    """One server."""

    url: str
    headers: dict[str, str]
    seconds: float
    pid: int | None = None
    present: int = 0
    """Images that are there, as far as this run made them or counted them."""
    ids: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    def request(self, method: str, path: str, body: object = None) -> bytes:
        data = b"" if body is None else json.dumps(body).encode()
        return request(method, path, self.headers, data, self.host)

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        answer = ask(self.url, self.request(method, path, body))
        if answer.status >= 400:
            raise RuntimeError(f"{self.url}: {answer.status} {answer.body.decode()}")
        return answer

    def run(self, clients: int, make: MakeClient, seconds: float | None = None) -> Load:
        return drive_apart(self.url, clients, make, seconds or self.seconds)

    def count(self) -> None:
        """Count the images present, up to a page's limit; benches begin on empty servers."""
        page = json.loads(self.ask("GET", "/v2/images?limit=1000").body)
        self.present = len(page["images"])
        self.ids = [each["id"] for each in page["images"]][:100]

    def fill(self, wanted: int) -> Load | None:
        """Make records until so many are there."""
        missing = wanted - self.present
        if missing <= 0:
            return None
        data = self.request("POST", "/v2/images", {"name": "fill", **RECORD})
        fillers = min(FILLERS, missing)

        def client(number: int) -> Client:
            for _ in range(missing // fillers + (number < missing % fillers)):
                answer = yield data
                if answer.status != 201:
                    raise RuntimeError(answer.body.decode())

        load = self.run(fillers, client, 3600.0)
        self.present = wanted
        return load


def creates(bench: Bench) -> MakeClient:
    """Each client makes records with tags and properties."""
    return always(bench.request("POST", "/v2/images", {"name": "bench", **RECORD}))


def shows(bench: Bench) -> MakeClient:
    """Each client asks for one image after the other."""
    asked = [bench.request("GET", f"/v2/images/{each}") for each in bench.ids]

    def client(number: int) -> Client:
        while True:
            for offset in range(len(asked)):
                yield asked[(offset + number) % len(asked)]

    return client


def lists(bench: Bench) -> MakeClient:
    """Each client asks for the first 25."""
    return always(bench.request("GET", "/v2/images?limit=25"))


def pages(bench: Bench) -> MakeClient:
    """Each client turns page after page, and begins anew at the end."""

    def client(_number: int) -> Client:
        path = "/v2/images?limit=25"
        while True:
            answer = yield bench.request("GET", path)
            path = json.loads(answer.body).get("next", "/v2/images?limit=25")

    return client


def always(data: bytes) -> MakeClient:
    def client(_number: int) -> Client:
        while True:
            yield data

    return client


def measure(benches: list[Bench], counts: list[int], clients: list[int], chosen: str) -> None:
    """Shows and lists with more and more images present, then creates."""
    print(
        f"{'':20}{'images':>8}{'clients':>8}{'per s':>8}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}"
        f"{'own µs':>8}{'cpu µs':>8}"
    )
    for count in counts:
        for bench in benches:
            began = time.perf_counter()
            if bench.fill(count) and count > 1000:
                print(f"{count} images present after {time.perf_counter() - began:.1f} s")
            bench.count() if not bench.ids else None
        for name, make in (("show", shows), ("list of 25", lists), ("page after page", pages)):
            compare(benches, name, clients, make, chosen, count)
    compare(benches, "create", clients, creates, chosen, counts[-1])


def compare(
    benches: list[Bench],
    name: str,
    clients: list[int],
    make: Callable[[Bench], MakeClient],
    chosen: str,
    images: int,
) -> None:
    if chosen not in name:
        return
    for number in clients:
        first: float | None = None
        for bench in benches:
            rate = show(bench, f"{name:20}{images:8}{number:8}", number, make(bench), first)
            first = first or rate


def show(bench: Bench, title: str, clients: int, make: MakeClient, first: float | None) -> float:
    server = psutil.Process(bench.pid) if bench.pid else None
    before = sum(server.cpu_times()[:2]) if server else 0.0
    load = bench.run(clients, make)
    used = sum(server.cpu_times()[:2]) - before if server else 0.0
    print(
        f"{title}{load.rate:8.0f}{load.quantile(0.5):9.2f}{load.quantile(0.99):9.2f}"
        f"{load.quantile(1.0):9.2f}{load.own_cost:8.0f}{1e6 * used / len(load.times):8.0f}"
        f"  {bench.url}"
        + (f"  x{load.rate / first:.2f}" if first else "")
        + (f"  {load.failures} REFUSED" if load.failures else ""),
        flush=True,
    )
    return load.rate


@contextmanager
def own_stack(auth: str) -> Iterator[tuple[str, int, dict[str, str]]]:
    """A stack of ours with nothing in it: the catalog's URL, the process, and what signs in."""
    with tempfile.TemporaryDirectory() as folder:
        stack = StackProcess(Path(folder) / "state", ["--auth", auth])
        try:
            info = stack.wait_ready()
            yield info.catalog_url, stack.pid, sign_in(info, info.project, os.environ)
        finally:
            stack.interrupt()


def numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("urls", nargs="*")
    parser.add_argument("--images", type=numbers, default=[10, 10_000, 100_000])
    parser.add_argument("--clients", type=numbers, default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=3.0, help="for each figure")
    parser.add_argument("--only", default="", help="figures whose name holds this")
    parser.add_argument("--auth", default="none", help="of a stack of our own: none or dev")
    parser.add_argument("--pid", type=int, help="the server's process, for its processor time")
    parser.add_argument("--header", action="append", default=[], help="NAME:VALUE for each request")
    given = parser.parse_args()
    headers = {name: value for name, _, value in (each.partition(":") for each in given.header)}

    def run(urls: list[str], pid: int | None, headers: dict[str, str]) -> None:
        benches = [Bench(url.rstrip("/"), headers, given.seconds, pid) for url in urls]
        for bench in benches:
            bench.count()
        measure(benches, sorted(given.images), given.clients, given.only)

    if given.urls:
        run(given.urls, given.pid, headers)
    else:
        with own_stack(given.auth) as (url, pid, own):
            run([url], pid, own | headers)


if __name__ == "__main__":
    main()
