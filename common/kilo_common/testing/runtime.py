"""A runtime for tests: in-memory bus, identity `none`, plain threads."""

from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from kilo_common.bus.memory import MemoryTransport
from kilo_common.clock import SystemClock
from kilo_common.http.auth import NoAuth
from kilo_common.ids import random_id
from kilo_common.runtime import Runtime
from kilo_common.settings import AuthSettings, BusSettings


def make_runtime(executor: Executor | None = None, **changes: Any) -> Runtime:
    """A runtime that needs no server; `changes` replace its fields (`clock=FakeClock()`)."""
    auth = AuthSettings(strategy="none")
    runtime = Runtime(
        clock=SystemClock(),
        new_id=random_id,
        executor=executor or ThreadPoolExecutor(8),
        transport=MemoryTransport(),
        auth=NoAuth(auth),
        auth_settings=auth,
        bus_settings=BusSettings(),
        host="test",
    )
    return replace(runtime, **changes)
