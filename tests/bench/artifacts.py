"""Lists and searches of artifacts, with many names in many versions present.

    .venv-test/bin/python tests/bench/artifacts.py [--names 10000] [--versions 5] [--seconds 3]

A stack of ours, with its state in a temporary folder and identity `none`, is filled through its API
first; then eight clients ask for each kind of page. Nothing here passes or fails.
"""

import argparse
import json
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from http_load import Client, drive_apart, request

from kilo_deploy.testing import StackProcess

CLIENTS = 8
FILLERS = 16
WORDS = ("red", "green", "blue", "round", "square", "large", "small", "old", "new", "odd")
HEADERS = {"X-Project-Id": "demo"}
PAGES: dict[str, list[tuple[str, str]]] = {
    "the newest 25": [],
    "by name": [("sort", "name:asc")],
    "one name, all versions": [("name", "eq:thing-00042")],
    "one name, the latest": [("name", "eq:thing-00042"), ("version", "latest")],
    "the latest of each": [("version", "latest")],
    "versions from 3 on": [("version", "gte:3.0.0")],
    "a tag": [("tags", "round")],
    "a field": [("rows", "gt:9000")],
    "metadata": [("metadata.number", "77")],
    "a word": [("q", "squ")],
    "two words": [("q", "large blue")],
}


def thing(number: int, version: int) -> bytes:
    """The request that makes one."""
    body = {
        "name": f"thing-{number:05}",
        "version": f"{version + 1}.0.0",
        "description": f"{WORDS[number % 10]} and {WORDS[number // 10 % 10]}",
        "tags": [WORDS[(number + 3) % 10], "bench"],
        "metadata": {"number": str(number)},
        "rows": number,
    }
    return request("POST", "/artifacts/datasets", HEADERS, json.dumps(body).encode())


def fill(url: str, names: int, versions: int) -> None:
    """Make all of them."""

    def client(filler: int) -> Client:
        for number in range(filler, names, FILLERS):
            for version in range(versions):
                answer = yield thing(number, version)
                if answer.status != 201:
                    raise RuntimeError(answer.body.decode())

    load = drive_apart(url, FILLERS, client, 1800.0)
    print(f"{names * versions:,} made: {load.rate:,.0f}/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", type=int, default=10_000)
    parser.add_argument("--versions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stack = StackProcess(Path(folder), ["--auth", "none"])
        try:
            url = stack.wait_ready().catalog_url
            fill(url, asked.names, asked.versions)
            for title, query in PAGES.items():
                data = request("GET", f"/artifacts/datasets?{urlencode(query)}", HEADERS)

                def client(_number: int, data: bytes = data) -> Client:
                    while True:
                        yield data

                load = drive_apart(url, CLIENTS, client, asked.seconds)
                print(
                    f"{title:24} {load.rate:7,.0f}/s  p50 {load.quantile(0.5):6.1f} ms  "
                    f"p99 {load.quantile(0.99):6.1f} ms  failures {load.failures}"
                )
        finally:
            stack.kill()


if __name__ == "__main__":
    main()
