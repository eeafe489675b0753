"""zmq:// beside raw ZeroMQ, in one run: calls per second, p50 and p99, by number of callers.

The processor time of a call, at the client's and at the server's, hardly depends on what else the
machine does; the rates do.

    python tests/bench/bus_zmq.py [--seconds S] [--rounds N] [--callers 1,8,32] [--profile client]

Everything under gevent, client and server in a process each, every call with the same body:

raw, a DEALER each    callers with a socket of their own on one ROUTER that echoes
raw, one DEALER       callers share a socket; a greenlet hands answers out by their number
transport             publish to a queue, the consumer publishes the body to a reply place
rpc                   RpcClient and RpcServer
"""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402 - gevent patches before anything else is imported
import cProfile  # noqa: E402
import itertools  # noqa: E402
import os  # noqa: E402
import pstats  # noqa: E402
import statistics  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from queue import SimpleQueue  # noqa: E402
from urllib.parse import quote  # noqa: E402

import psutil  # noqa: E402
import zmq.green as zmq  # noqa: E402

from kilo_common.bus.connect import open_transport  # noqa: E402
from kilo_common.bus.dispatcher import Endpoint, rpc  # noqa: E402
from kilo_common.bus.rpc_client import RpcClient  # noqa: E402
from kilo_common.bus.rpc_server import RpcServer  # noqa: E402
from kilo_common.bus.target import Address, Kind, Target  # noqa: E402
from kilo_common.bus.transport import Delivery  # noqa: E402
from kilo_common.context import RequestContext  # noqa: E402
from kilo_common.ids import random_id  # noqa: E402

BODY = b"x" * 400
TEXT = "x" * 20
TARGET = Target("bench", server="one")
REPLY = Address(Kind.REPLY, "", "reply_bench")
CONTEXT = RequestContext(project_id="bench")
Call = Callable[[int], None]
Contender = tuple[Call, Callable[[], None], psutil.Process]
Figures = tuple[float, float, float, float, float]


class Echo(Endpoint):
    @rpc
    def echo(self, context: RequestContext, text: str) -> str:
        return text


def serve_raw() -> None:
    router = zmq.Context().socket(zmq.ROUTER)
    port = router.bind_to_random_port("tcp://127.0.0.1")
    print(port, flush=True)
    while True:
        router.send_multipart(router.recv_multipart())


def serve_bus(url: str) -> None:
    transport = open_transport(url)
    transport.start()

    def answer(delivery: Delivery) -> None:
        work.put(delivery)

    def work_off() -> None:
        while True:
            delivery = work.get()
            transport.publish(REPLY, delivery.body, mandatory=True)
            delivery.ack()

    work: SimpleQueue[Delivery] = SimpleQueue()
    for _number in range(8):
        threading.Thread(target=work_off, daemon=True).start()
    transport.consume(Target("plain").topic_address, answer, prefetch=100)
    RpcServer(transport, TARGET, [Echo()], new_id=random_id, workers=8).start()
    print("ready", flush=True)
    threading.Event().wait()


def raw_each(port: int) -> tuple[Call, Callable[[], None]]:
    context = zmq.Context()
    dealers = [context.socket(zmq.DEALER) for _number in range(32)]
    for dealer in dealers:
        dealer.connect(f"tcp://127.0.0.1:{port}")

    def call(caller: int) -> None:
        dealers[caller].send(BODY)
        dealers[caller].recv()

    return call, lambda: context.destroy(0)


def raw_shared(port: int) -> tuple[Call, Callable[[], None]]:
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.connect(f"tcp://127.0.0.1:{port}")
    answers: dict[bytes, threading.Event] = {}
    numbers = itertools.count()

    def read() -> None:
        while True:
            number, _body = dealer.recv_multipart()
            answers.pop(number).set()

    threading.Thread(target=read, daemon=True).start()

    def call(caller: int) -> None:
        number = b"%d" % next(numbers)
        done = answers[number] = threading.Event()
        dealer.send_multipart([number, BODY])
        done.wait()

    return call, lambda: None


def over_transport(url: str) -> tuple[Call, Callable[[], None]]:
    transport = open_transport(url)
    transport.start()
    answers: dict[bytes, threading.Event] = {}
    numbers = itertools.count()

    def take(delivery: Delivery) -> None:
        delivery.ack()
        answers.pop(delivery.body[:10]).set()

    transport.consume(REPLY, take, prefetch=100)
    plain = Target("plain").topic_address

    def call(caller: int) -> None:
        number = b"%010d" % next(numbers)
        done = answers[number] = threading.Event()
        transport.publish(plain, number + BODY[10:], mandatory=True)
        done.wait()

    return call, lambda: transport.stop(1)


def over_rpc(url: str) -> tuple[Call, Callable[[], None]]:
    transport = open_transport(url)
    transport.start()
    client = RpcClient(transport, TARGET.with_(server=None), new_id=random_id)
    return lambda caller: client.call(CONTEXT, "echo", text=TEXT), lambda: transport.stop(1)


def measure(call: Call, server: psutil.Process, callers: int, seconds: float) -> Figures:
    """Calls per second, median and 99th percentile of their ms, µs of both sides' processors."""
    took: list[float] = []
    call(0)
    here, there = time.process_time(), sum(server.cpu_times()[:2])

    def run(caller: int) -> None:
        while time.perf_counter() < ends:
            began = time.perf_counter()
            call(caller)
            took.append(time.perf_counter() - began)

    began = time.perf_counter()
    ends = began + seconds
    threads = [threading.Thread(target=run, args=(caller,)) for caller in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = len(took) / (time.perf_counter() - began)
    here, there = time.process_time() - here, sum(server.cpu_times()[:2]) - there
    took.sort()
    p50, p99 = took[len(took) // 2] * 1000, took[int(len(took) * 0.99)] * 1000
    return rate, p50, p99, here / len(took) * 1e6, there / len(took) * 1e6


def spawn(*arguments: str) -> tuple["subprocess.Popen[str]", str]:
    """A server process and the first line it says."""
    process = subprocess.Popen(
        [sys.executable, __file__, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path))),
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def compare(callers: list[int], seconds: float, rounds: int, profile: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        book = quote(f"sqlite:///{folder}/bench.db")
        url = f"zmq://127.0.0.1/?matchmaker=sql&matchmaker_url={book}"
        raw, port = spawn("--serve", "raw")
        bus, _ready = spawn("--serve", url)
        raw_server, bus_server = psutil.Process(raw.pid), psutil.Process(bus.pid)
        kinds = {
            "raw, a DEALER each": (*raw_each(int(port)), raw_server),
            "raw, one DEALER": (*raw_shared(int(port)), raw_server),
            "transport": (*over_transport(url), bus_server),
            "rpc": (*over_rpc(url), bus_server),
        }
        if profile:
            profiler = cProfile.Profile()
            profiler.enable()
            measure(kinds[profile][0], bus_server, callers[0], seconds)
            profiler.disable()
            pstats.Stats(profiler).sort_stats("tottime").print_stats(35)
        else:
            for number in callers:
                report(kinds, number, seconds, rounds)
        for _call, close, _server in kinds.values():
            close()
        for process in (raw, bus):
            process.kill()
            process.wait()


def report(kinds: dict[str, Contender], callers: int, seconds: float, rounds: int) -> None:
    """One table: the kinds take turns, so that a busy machine is busy for all."""
    results: dict[str, list[Figures]] = {name: [] for name in kinds}
    for _round in range(rounds):
        for name, (call, _close, server) in kinds.items():
            results[name].append(measure(call, server, callers, seconds))
    print(f"{callers} callers")
    pair = [statistics.median(each) for each in zip(*results["raw, one DEALER"], strict=True)]
    for name, figures in results.items():
        rate, p50, p99, here, there = (
            statistics.median(each) for each in zip(*figures, strict=True)
        )
        print(
            f"  {name:20} {rate:7.0f} calls/s {rate / pair[0]:5.0%} of one raw pair,"
            f" by processor time {max(pair[3:]) / max(here, there):5.0%}"
            f"   p50 {p50:6.2f} ms  p99 {p99:6.2f} ms   {here:4.0f} + {there:4.0f} µs"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", default="")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--callers", default="1,8,32")
    parser.add_argument("--profile", default="", help="`transport` or `rpc`: the client's side")
    options = parser.parse_args()
    if options.serve == "raw":
        serve_raw()
    elif options.serve:
        serve_bus(options.serve)
    else:
        callers = [int(each) for each in options.callers.split(",")]
        compare(callers, options.seconds, options.rounds, options.profile)


if __name__ == "__main__":
    main()
