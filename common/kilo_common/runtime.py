"""The collaborators that every process has, made once by a start file and handed in."""

from concurrent.futures import Executor
from dataclasses import dataclass

from kilo_common.bus.transport import Transport
from kilo_common.clock import Clock
from kilo_common.http.auth import AuthStrategy
from kilo_common.ids import IdSource
from kilo_common.settings import AuthSettings, BusSettings


@dataclass(frozen=True)
class Runtime:
    """What wiring functions take beside their own settings."""

    clock: Clock
    new_id: IdSource
    executor: Executor
    """Native threads, for hashing, files and SQLite; under gevent, gevent's own pool."""
    transport: Transport
    auth: AuthStrategy
    auth_settings: AuthSettings
    bus_settings: BusSettings
    host: str
    """This process's name on the bus, such as `node1.4242`."""
