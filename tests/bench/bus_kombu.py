"""Plain kombu, as its documentation shows it: a connection per thread, confirmed publishes."""

import threading
import time
from collections.abc import Callable
from typing import Any

import kombu
from bus_load import Contender, main

EXCHANGE = kombu.Exchange("kilo-bench", "topic", durable=False)


def queue(name: str) -> kombu.Queue:
    return kombu.Queue(name, EXCHANGE, routing_key=name, durable=False)


def connected(url: str) -> kombu.Connection:
    options = {"confirm_publish": True}
    return kombu.Connection(url.replace("rabbit:", "amqp:"), transport_options=options)


def announcer(url: str, topic: str) -> Callable[[], Any]:
    mine = threading.local()

    def announce() -> None:
        if not hasattr(mine, "producer"):
            mine.producer = connected(url).Producer()
        mine.producer.publish(
            {"event": "bench.ran", "payload": {"x": 1}},
            exchange=EXCHANGE,
            routing_key=topic,
            declare=[queue(topic)],
        )

    return announce


def consume(url: str, topic: str, count: int) -> float:
    left = count
    began = time.perf_counter()

    def take(_body: Any, message: Any) -> None:
        nonlocal left
        left -= 1
        message.ack()

    with connected(url) as connection, connection.Consumer([queue(topic)], callbacks=[take]) as c:
        c.qos(prefetch_count=64)
        while left:
            connection.drain_events(timeout=30)
    return time.perf_counter() - began


def nothing(url: str, topic: str) -> Any:
    raise NotImplementedError("kombu has no calls")


if __name__ == "__main__":
    main(Contender(nothing, nothing, announcer=announcer, consume=consume))
