"""The load that every contender of `bus.py` is measured with, and the form it must have.

A contender's script calls `main` with its functions. Only the standard library is used here, since
contenders run in different environments.
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SECONDS = 2.5
CALLERS = (1, 8, 32)
CASTERS = 8
SENDERS = (1, 8)
WAITING = 4000


@dataclass(frozen=True)
class Contender:
    """One messaging library."""

    serve: Callable[[str, str], Any]
    """Serve `echo(x)` and count casts of `note(x)`, in the background: (url, topic)."""
    caller: Callable[[str, str], Callable[[], Any]]
    """(url, topic) → makes one call of `echo`."""
    caster: Callable[[str, str], Callable[[], Any]] | None = None
    noted: Callable[[str, str], int] | None = None
    """(url, topic) → how many casts the server has executed."""
    announcer: Callable[[str, str], Callable[[], Any]] | None = None
    """(url, topic) → announces one notification and returns when it is confirmed."""
    consume: Callable[[str, str, int], float] | None = None
    """(url, topic, count) → seconds to consume so many notifications that wait."""


def load(callers: int, act: Callable[[], Any], seconds: float = SECONDS) -> dict[str, float]:
    """What `callers` threads achieve that do `act` again and again."""
    times: list[float] = []
    began, worked = time.perf_counter(), time.process_time()

    def work() -> None:
        while (start := time.perf_counter()) - began < seconds:
            act()
            times.append(time.perf_counter() - start)

    threads = [threading.Thread(target=work) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    passed = time.perf_counter() - began
    times.sort()
    return {
        "rate": len(times) / passed,
        "p50": 1000 * times[len(times) // 2],
        "p99": 1000 * times[int(len(times) * 0.99)],
        "cpu": 1e6 * (time.process_time() - worked) / len(times),
    }


def measure(contender: Contender, url: str, topic: str, what: str) -> dict[str, float]:
    """One figure: `calls:8`, `casts`, `notify:1`, `consume`."""
    kind, _, level = what.partition(":")
    if kind == "calls":
        act = contender.caller(url, topic)
        act()
        return load(int(level), act)
    if kind == "casts" and contender.caster is not None and contender.noted is not None:
        act = contender.caster(url, topic)
        act()
        before, began = contender.noted(url, topic), time.perf_counter()
        load(CASTERS, act)
        rate, quiet = 0.0, before
        while True:  # until the server has executed what waits
            time.sleep(0.1)
            now = contender.noted(url, topic)
            if now == quiet:
                return {"rate": rate}
            quiet, rate = now, (now - before) / (time.perf_counter() - began)
    if kind == "notify" and contender.announcer is not None:
        act = contender.announcer(url, f"{topic}-n")
        act()
        return load(int(level), act)
    if kind == "consume" and contender.announcer is not None and contender.consume is not None:
        act = contender.announcer(url, f"{topic}-c")
        for _ in range(WAITING):
            act()
        return {"rate": WAITING / contender.consume(url, f"{topic}-c", WAITING)}
    return {}


def main(contender: Contender) -> None:
    """`SCRIPT serve URL TOPIC`, or `SCRIPT measure URL TOPIC WHAT…`: a line for each figure."""
    role, url, topic, *figures = sys.argv[1:]
    if role == "serve":
        kept = contender.serve(url, topic)
        print("ready", flush=True)
        threading.Event().wait()
        del kept
    for what in figures:
        print(json.dumps({"what": what, **measure(contender, url, topic, what)}), flush=True)
