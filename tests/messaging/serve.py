"""Runs the service in a process: `python serve.py DATABASE_URL PORT WEBSOCKET_SETTINGS LIMITS`;
prints its port when ready."""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402 - gevent patches before anything else is imported
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
from gevent.threadpool import ThreadPoolExecutor  # noqa: E402

from kilo_common.db.migrate import upgrade  # noqa: E402
from kilo_common.http.server import HttpServer  # noqa: E402
from kilo_common.lifecycle import ServiceGroup  # noqa: E402
from kilo_common.settings import DatabaseSettings, HttpSettings  # noqa: E402
from kilo_common.testing.runtime import make_runtime  # noqa: E402
from kilo_messaging import wiring  # noqa: E402
from kilo_messaging.config import LimitSettings, MessagingSettings, WebSocketSettings  # noqa: E402


def main(database: str, port: int, websocket: dict[str, Any], limits: dict[str, Any]) -> None:
    settings = MessagingSettings(
        http=HttpSettings(cors_origins=("https://friend.test",)),
        database=DatabaseSettings(url=database),
        limits=LimitSettings(**limits),
        websocket=WebSocketSettings(
            **{
                "ping_interval": 0.2,
                "idle_limit": 0.6,
                "send_queue_bytes": 65536,
                "max_subscriptions": 2,
            }
            | websocket
        ),
    )
    runtime = make_runtime(ThreadPoolExecutor(10))
    runtime.transport.start()
    schema = wiring.schema_of(settings)
    if schema is not None:
        upgrade(settings.database, schema)
    api = wiring.build(settings, runtime)
    ServiceGroup(api.services).start()
    server = HttpServer(api.app, "127.0.0.1", port, name="messaging")
    server.start()
    gevent.signal_handler(signal.SIGTERM, lambda: (server.stop(20.0), os._exit(0)))
    print(server.url.rpartition(":")[2], flush=True)
    gevent.wait()


main(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]), json.loads(sys.argv[4]))
