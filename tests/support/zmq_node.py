"""A process of its own on a zmq:// bus, for tests: it consumes, publishes or serves.

`python zmq_node.py URL ROLE TOPIC [COUNT]`; says `ready`, then one line per event.
"""

import os
import select
import sys
import time

from kilo_common.bus.connect import open_transport
from kilo_common.bus.dispatcher import Endpoint, rpc
from kilo_common.bus.rpc_server import RpcServer
from kilo_common.bus.target import Target
from kilo_common.bus.transport import Delivery, Transport
from kilo_common.context import RequestContext
from kilo_common.ids import random_id


class Echo(Endpoint):
    @rpc
    def echo(self, context: RequestContext, text: str) -> str:
        return text

    @rpc
    def hang(self, context: RequestContext) -> None:
        say("hanging")
        time.sleep(60)


def say(text: str) -> None:
    print(text, flush=True)


def main(url: str, role: str, topic: str, count: int) -> None:
    target = Target(topic, server="one")
    transport = open_transport(url)
    transport.start()
    if role == "serve":
        RpcServer(transport, target, [Echo()], new_id=random_id, workers=4).start()
    elif role == "publish":
        for number in range(count):
            transport.publish(target.topic_address, b"%d" % number)
    else:
        consume(transport, target, role)
    say("ready")
    while True:
        select.select([0], [], [])  # a read alone would hold up gevent's hub
        line = os.read(0, 1000).strip()
        if line in (b"stop", b""):
            break
    transport.stop(5)
    say("stopped")


def consume(transport: Transport, target: Target, role: str) -> None:
    """`work` acknowledges, `hold` keeps in hand, `fanout` and `pool` say what they are."""

    def take(delivery: Delivery) -> None:
        say(f"got {delivery.body.decode()} {'again' if delivery.redelivered else 'first'}")
        if role != "hold":
            delivery.ack()

    address = target.fanout_address if role == "fanout" else target.topic_address
    group = "pool" if role == "pool" else ""
    transport.consume(address, take, group=group, prefetch=5 if role == "hold" else 100)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int((*sys.argv, "0")[4]))
