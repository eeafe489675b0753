"""A loop written by hand on py-amqp and gevent, with nothing a library would add: calls only.

One connection a process: a greenlet reads, publishes go out without waiting, each call waits for
its reply. Deliveries are acknowledged, publishes are not confirmed; there is no envelope.
"""

# ruff: noqa: E402 - gevent patches before anything else is imported

from gevent import monkey

monkey.patch_all()

import itertools
import json
import uuid
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import amqp
import gevent
from bus_load import Contender, main
from gevent.event import AsyncResult


def connected(url: str) -> tuple[Any, Any]:
    connection = amqp.Connection(urlsplit(url).netloc.rpartition("@")[2], heartbeat=0)
    connection.connect()
    return connection, connection.channel()


def keep_reading(connection: Any) -> None:
    def read() -> None:
        while True:
            connection.drain_events()

    gevent.spawn(read)


def publish(channel: Any, queue: str, message: dict[str, Any]) -> None:
    body = amqp.Message(json.dumps(message), content_type="application/json", delivery_mode=2)
    args = (0, "", queue, False, False)
    channel.send_method(amqp.spec.Basic.Publish, "Bssbb", args, body)


def serve(url: str, topic: str) -> Any:
    connection, channel = connected(url)
    channel.queue_declare(topic, auto_delete=False)
    channel.basic_qos(0, 64, False)

    def work(message: Any) -> None:
        request = json.loads(message.body)
        publish(channel, request["reply"], {"id": request["id"], "result": request["args"]["x"]})
        channel.basic_ack(message.delivery_tag)

    channel.basic_consume(topic, callback=lambda message: gevent.spawn(work, message))
    keep_reading(connection)
    return connection


@cache
def call(url: str, topic: str) -> Callable[[], Any]:
    connection, channel = connected(url)
    replies = f"reply_{uuid.uuid4().hex}"
    channel.queue_declare(replies, exclusive=True)
    waiting: dict[int, AsyncResult] = {}
    numbers = itertools.count()

    def take(message: Any) -> None:
        reply = json.loads(message.body)
        waiting.pop(reply["id"]).set(reply["result"])
        channel.basic_ack(message.delivery_tag)

    channel.basic_consume(replies, callback=take)
    keep_reading(connection)

    def once() -> Any:
        number = next(numbers)
        answer = waiting[number] = AsyncResult()
        request = {"id": number, "method": "echo", "args": {"x": 1}, "reply": replies}
        publish(channel, topic, request)
        return answer.get(timeout=30)

    return once


if __name__ == "__main__":
    main(Contender(serve, call))
