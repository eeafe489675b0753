"""Our bus as a contender of `bus.py`, under gevent or under threads (BENCH_GEVENT)."""

import os

if os.environ.get("BENCH_GEVENT"):
    from gevent import monkey

    monkey.patch_all()

import itertools
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from bus_load import Contender, main

from kilo_common.bus.connect import open_transport
from kilo_common.bus.dispatcher import Endpoint, rpc
from kilo_common.bus.envelope import Notification
from kilo_common.bus.listener import NotificationListener
from kilo_common.bus.notifier import Notifier
from kilo_common.bus.rpc_client import RpcClient
from kilo_common.bus.rpc_server import RpcServer
from kilo_common.bus.target import Target
from kilo_common.bus.transport import Transport
from kilo_common.clock import SystemClock
from kilo_common.context import RequestContext
from kilo_common.ids import random_id

CONTEXT = RequestContext()
EXCHANGE = "kilo-bench"


class Echo(Endpoint):
    def __init__(self) -> None:
        self._notes = itertools.count()

    @rpc
    def echo(self, context: RequestContext, x: int) -> int:
        return x

    @rpc
    def note(self, context: RequestContext, x: int) -> None:
        next(self._notes)

    @rpc
    def noted(self, context: RequestContext) -> int:
        return int(repr(self._notes)[6:-1])


@cache
def transport(url: str) -> Transport:
    opened = open_transport(url)
    opened.start()
    return opened


@cache
def client(url: str, topic: str) -> RpcClient:
    if url.startswith("memory:"):
        serve(url, topic)
    target = Target(topic, exchange=EXCHANGE)
    return RpcClient(transport(url), target, new_id=random_id, timeout=30)


def serve(url: str, topic: str) -> Any:
    target = Target(topic, exchange=EXCHANGE, server="bench")
    server = RpcServer(transport(url), target, [Echo()], new_id=random_id, workers=32)
    server.start()
    return server


def caller(url: str, topic: str) -> Callable[[], Any]:
    return lambda: client(url, topic).call(CONTEXT, "echo", x=1)


def caster(url: str, topic: str) -> Callable[[], Any]:
    return lambda: client(url, topic).cast(CONTEXT, "note", x=1)


def noted(url: str, topic: str) -> int:
    count: int = client(url, topic).call(CONTEXT, "noted")
    return count


def announcer(url: str, topic: str) -> Callable[[], Any]:
    notifier = Notifier(
        transport(url),
        "bench",
        clock=SystemClock(),
        new_id=random_id,
        topic=topic,
        exchange=EXCHANGE,
    )
    return lambda: notifier.notify(CONTEXT, "bench.ran", {"x": 1})


def consume(url: str, topic: str, count: int) -> float:
    enough = threading.Event()
    numbers = itertools.count(1)

    def handle(_: Notification) -> None:
        if next(numbers) == count:
            enough.set()

    listener = NotificationListener(
        transport(url), handle, topic=topic, exchange=EXCHANGE, workers=16
    )
    began = time.perf_counter()
    listener.start()
    assert enough.wait(60)
    return time.perf_counter() - began


if __name__ == "__main__":
    main(Contender(serve, caller, caster, noted, announcer, consume))
