"""The bus beside oslo.messaging, plain kombu and a loop written by hand, on one broker.

    .venv-test/bin/python tests/bench/bus.py [--rounds N]

The CPU time is that of the caller's process for one action. Contenders take turns, figure by
figure, so that each ratio compares what ran within seconds. Each figure is the median of the
rounds. Nothing here passes or fails. The peer's environment is TEST_PEER_FOLDER or .venv-peer.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import uuid
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import amqp
from bus_load import CALLERS, SENDERS

HERE = Path(__file__).parent
BROKER = "guest:guest@127.0.0.1:5672/"
PEER = Path(os.environ.get("TEST_PEER_FOLDER", HERE.parent.parent / ".venv-peer"))
CALLS = [f"calls:{each}" for each in CALLERS]
NOTIFY = [f"notify:{each}" for each in SENDERS]
EVERYTHING = [*CALLS, "casts", *NOTIFY, "consume"]
REFERENCE = "oslo.messaging"
TIMES = ("p50", "p99", "cpu")


@dataclass(frozen=True)
class Entry:
    name: str
    script: str
    figures: list[str]
    url: str
    python: str = sys.executable
    gevent: bool = False
    serves: bool = True


ENTRIES = [
    Entry(
        "ours, gevent", "bus_ours.py", EVERYTHING, f"rabbit://{BROKER}?durable=false", gevent=True
    ),
    Entry("ours, threads", "bus_ours.py", EVERYTHING, f"rabbit://{BROKER}?durable=false"),
    Entry(REFERENCE, "bus_peer.py", EVERYTHING, f"rabbit://{BROKER}", str(PEER / "bin" / "python")),
    Entry("by hand, gevent", "bus_pipelined.py", CALLS, f"amqp://{BROKER}"),
    Entry("kombu", "bus_kombu.py", [*NOTIFY, "consume"], f"amqp://{BROKER}", serves=False),
    Entry("ours, memory", "bus_ours.py", EVERYTHING, "memory://", gevent=True, serves=False),
]


def run(entry: Entry, what: str, topic: str) -> dict[str, float]:
    """One figure of one contender, in processes of their own."""
    environment = {**os.environ, "BENCH_GEVENT": "1" if entry.gevent else ""}
    command = [entry.python, "-W", "ignore", str(HERE / entry.script)]
    served = entry.serves and what.partition(":")[0] in ("calls", "casts")
    server = None
    if served:
        server = subprocess.Popen(
            [*command, "serve", entry.url, topic],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
    try:
        done = subprocess.run(
            [*command, "measure", entry.url, topic, what],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode:
            print(f"{entry.name}, {what}: {done.stderr[-500:]}", file=sys.stderr)
            return {}
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found
    finally:
        if server is not None:
            server.kill()
            server.wait()
            assert server.stdout is not None
            server.stdout.close()


def sweep(topics: list[str]) -> None:
    """Take the queues off the broker again."""
    with amqp.Connection(BROKER.rpartition("@")[2].rstrip("/")) as connection:
        channel = connection.channel()
        for topic in topics:
            for suffix in ("", ".bench", "-n", "-n.info", "-c", "-c.info"):
                channel.queue_delete(topic + suffix)


def show(figures: dict[tuple[str, str], list[dict[str, float]]], entries: list[Entry]) -> None:
    for what in EVERYTHING:
        print(f"\n{what:24}{'per s':>10}{'p50 ms':>10}{'p99 ms':>10}{'cpu µs':>10}{'ratio':>8}")
        medians = {
            entry.name: {
                key: statistics.median(each[key] for each in figures[entry.name, what])
                for key in ("rate", *TIMES)
                if all(key in each for each in figures[entry.name, what])
            }
            for entry in entries
            if figures[entry.name, what]
        }
        reference = medians.get(REFERENCE, {}).get("rate")
        for name, found in medians.items():
            ratio = f"{found['rate'] / reference:8.2f}" if reference else ""
            times = [f"{found[key]:10.1f}" if key in found else " " * 10 for key in TIMES]
            print(f"  {name:22}{found['rate']:10.0f}{''.join(times)}{ratio}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", default="", help="contenders whose name holds this")
    parser.add_argument("--figures", nargs="*", default=EVERYTHING)
    options = parser.parse_args()
    entries = [each for each in ENTRIES if options.only in each.name]
    entries = [each for each in entries if Path(each.python).exists()]
    figures: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    topics: list[str] = []
    try:
        for _ in range(options.rounds):
            for what in options.figures:
                for entry in entries:
                    if what in entry.figures:
                        topics.append(f"bench-{uuid.uuid4().hex[:8]}")
                        found = run(entry, what, topics[-1])
                        if found:
                            figures[entry.name, what].append(found)
    finally:
        sweep(topics)
    show(figures, entries)


if __name__ == "__main__":
    main()
