"""oslo.messaging as a contender of `bus.py`; runs in an environment of its own."""

import itertools
import threading
import time
from functools import cache

import oslo_messaging
from bus_load import Contender, main
from oslo_config import cfg


class Echo:
    def __init__(self):
        self._notes = itertools.count()

    def echo(self, context, x):
        return x

    def note(self, context, x):
        next(self._notes)

    def noted(self, context):
        return int(repr(self._notes)[6:-1])


@cache
def configured():
    cfg.CONF([])
    oslo_messaging.set_transport_defaults("kilo-bench")
    return cfg.CONF


@cache
def client(url, topic):
    transport = oslo_messaging.get_rpc_transport(configured(), url=url)
    return oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic=topic), timeout=30)


def serve(url, topic):
    transport = oslo_messaging.get_rpc_transport(configured(), url=url)
    target = oslo_messaging.Target(topic=topic, server="bench")
    server = oslo_messaging.get_rpc_server(transport, target, [Echo()], executor="threading")
    server.start()
    return server


def caller(url, topic):
    return lambda: client(url, topic).call({}, "echo", x=1)


def caster(url, topic):
    return lambda: client(url, topic).cast({}, "note", x=1)


def noted(url, topic):
    return client(url, topic).call({}, "noted")


def announcer(url, topic):
    notifier = oslo_messaging.Notifier(
        oslo_messaging.get_notification_transport(configured(), url=url),
        publisher_id="bench",
        driver="messagingv2",
        topics=[topic],
    )
    return lambda: notifier.info({}, "bench.ran", {"x": 1})


def consume(url, topic, count):
    enough = threading.Event()
    numbers = itertools.count(1)

    class Heard:
        def info(self, context, publisher_id, event_type, payload, metadata):
            if next(numbers) == count:
                enough.set()

    listener = oslo_messaging.get_notification_listener(
        oslo_messaging.get_notification_transport(configured(), url=url),
        [oslo_messaging.Target(topic=topic)],
        [Heard()],
        executor="threading",
    )
    began = time.perf_counter()
    listener.start()
    assert enough.wait(60)
    return time.perf_counter() - began


if __name__ == "__main__":
    main(Contender(serve, caller, caster, noted, announcer, consume))
