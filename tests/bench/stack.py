"""Figures of the all-in-one stack: start time, idle memory, latency, uploads, posts.

    .venv-test/bin/python tests/bench/stack.py [--size-mib N]

Each figure is the median of several runs, printed with its spread. Nothing here passes or fails.
"""

import argparse
import http.client
import json
import re
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from kilo_deploy.client import ApiClient
from kilo_deploy.state import StackInfo
from kilo_deploy.testing import StackProcess

MIB = 2**20
CLIENT = {"Client-ID": "0" * 32}
NO_AUTH = ["--auth", "none"]
RECORD = {"disk_format": "raw", "container_format": "bare"}


def spread(values: list[float], unit: str) -> str:
    return (
        f"{statistics.median(values):10.2f} {unit}  ({min(values):.2f} … {max(values):.2f}, "
        f"n={len(values)})"
    )


def measure_starts(folder: Path, runs: int) -> tuple[list[float], list[float]]:
    """Seconds to ready (printed by the stack itself) and idle MiB."""
    seconds, memory = [], []
    for _ in range(runs):
        stack = StackProcess(folder, NO_AUTH)
        stack.wait_ready()
        (said,) = re.findall(r"ready after (\S+) s", "".join(stack.output))
        seconds.append(float(said))
        memory.append(psutil.Process(stack.pid).memory_info().rss / MIB)
        stack.interrupt()
    return seconds, memory


def latencies(url: str, path: str, count: int = 300) -> list[float]:
    connection = http.client.HTTPConnection(*urlsplit(url).netloc.split(":"))
    times = []
    for _ in range(count):
        began = time.perf_counter()
        connection.request("GET", path, headers=CLIENT)
        connection.getresponse().read()
        times.append((time.perf_counter() - began) * 1000)
    connection.close()
    return times


def upload_rate(info: StackInfo, size_mib: int, streams: int) -> float:
    """MiB/s over all streams together."""
    block = bytes(MIB)

    def upload() -> None:
        catalog = ApiClient(info.catalog_url, {})
        image = catalog.json("POST", "/v2/images", RECORD)
        path = f"/v2/images/{image['id']}"
        catalog.upload(f"{path}/file", (block for _ in range(size_mib)), size_mib * MIB)
        catalog.json("DELETE", path)

    return streams * size_mib / timed(upload, streams)


def download_rate(info: StackInfo, size_mib: int) -> float:
    """MiB/s of one stream."""
    catalog = ApiClient(info.catalog_url, {})
    image = catalog.json("POST", "/v2/images", RECORD)
    path = f"/v2/images/{image['id']}"
    catalog.upload(f"{path}/file", (bytes(MIB) for _ in range(size_mib)), size_mib * MIB)
    began = time.perf_counter()
    received = sum(len(block) for block in catalog.download(f"{path}/file"))
    rate = received / MIB / (time.perf_counter() - began)
    catalog.json("DELETE", path)
    return rate


def post_rate(info: StackInfo, clients: int, posts: int, batch: int) -> float:
    """Messages a second over all clients together."""
    messages = [{"body": "x" * 1000, "ttl": 3600} for _ in range(batch)]
    body = json.dumps({"messages": messages})

    def post() -> None:
        connection = http.client.HTTPConnection(*urlsplit(info.messaging_url).netloc.split(":"))
        for _ in range(posts):
            connection.request("POST", "/v2/topics/bench/messages", body, CLIENT)
            connection.getresponse().read()
        connection.close()

    return clients * posts * batch / timed(post, clients)


def timed(work: Callable[[], None], threads: int) -> float:
    workers = [threading.Thread(target=work) for _ in range(threads)]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mib", type=int, default=512)
    size = parser.parse_args().size_mib
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        first, _ = measure_starts(state, 1)
        seconds, memory = measure_starts(state, 5)
        print(f"first start (makes the databases)  {spread(first, 's')}")
        print(f"start                              {spread(seconds, 's')}")
        print(f"idle memory                        {spread(memory, 'MiB')}")
        stack = StackProcess(state, NO_AUTH)
        info = stack.wait_ready()
        show = latencies(info.catalog_url, "/v2/images?limit=1")
        print(f"GET /v2/images, keep-alive         {spread(show, 'ms')}")
        listing = latencies(info.messaging_url, "/v2/topics")
        print(f"GET /v2/topics, keep-alive         {spread(listing, 'ms')}")
        for streams in (1, 4):
            rates = [upload_rate(info, size, streams) for _ in range(3)]
            print(f"upload, {streams} stream(s)                {spread(rates, 'MiB/s')}")
        downloads = [download_rate(info, size) for _ in range(3)]
        print(f"download, 1 stream                 {spread(downloads, 'MiB/s')}")
        for clients, batch in ((1, 1), (8, 1), (32, 1), (8, 10)):
            rates = [post_rate(info, clients, 2000 // clients, batch) for _ in range(3)]
            print(f"posts of {batch:2d}, {clients:2d} clients            {spread(rates, 'msg/s')}")
        stack.interrupt()


if __name__ == "__main__":
    main()
