"""What every process of ours needs around its services: threads, signals, its own start time.

With `entry.py` the only module here that knows gevent.
"""

import gc
import os
import signal
import socket
import time
from concurrent.futures import Executor
from pathlib import Path

import gevent
from gevent.event import Event
from gevent.os import tp_read
from gevent.threadpool import ThreadPoolExecutor

from kilo_common.bus.connect import open_transport
from kilo_common.clock import SystemClock
from kilo_common.errors import KiloError
from kilo_common.http.auth import check_bind, open_strategy
from kilo_common.ids import random_id
from kilo_common.runtime import Runtime
from kilo_deploy.config import StackSettings

NATIVE_THREADS = 24
_COLLECT_AFTER = (10_000, 20, 20)
"""New objects, collections of them, and collections of what outlived those."""
_STARTED = time.monotonic()


def open_runtime(settings: StackSettings) -> Runtime:
    """The collaborators of this process. The transport is not started yet.

    Raises:
        ConfigInvalid: a section names a driver or an address that cannot be used.
    """
    listeners = [settings.catalog.http, settings.messaging.http]
    if settings.auth.strategy == "dev":
        listeners.append(settings.auth.dev.http)
    for listener in listeners:
        check_bind(settings.auth, listener.host)
    clock, executor = SystemClock(), native_threads()
    return Runtime(
        clock=clock,
        new_id=random_id,
        executor=executor,
        transport=open_transport(settings.bus.url),
        auth=open_strategy(settings.auth, executor, clock),
        auth_settings=settings.auth,
        bus_settings=settings.bus,
        host=f"{socket.gethostname()}.{os.getpid()}",
    )


def native_threads() -> Executor:
    """Real threads whose results a greenlet can wait for."""
    hub = gevent.get_hub()
    # Whoever waits for a task gets its error; the hub need not print ours as well.
    hub.NOT_ERROR = (*hub.NOT_ERROR, KiloError)
    executor: Executor = ThreadPoolExecutor(NATIVE_THREADS)
    return executor


def spare_the_collector() -> None:
    """Let the garbage collector look at requests only, and less often; call it when all stands.

    A busy server spent a tenth of its time on looking at what it was made of, which stays.
    """
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


class StopSignal:
    """Set by SIGINT or SIGTERM; a second signal ends the process at once."""

    def __init__(self) -> None:
        self._event = Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            gevent.signal_handler(number, self._received, number)

    def wait(self) -> None:
        """Return when the process is asked to stop."""
        # All is set up, and stays: the collector need not go through it again and again, nor
        # begin after a few hundred objects, which under load it does in every request.
        gc.freeze()
        gc.set_threshold(*_COLLECT_AFTER)
        self._event.wait()

    def set(self) -> None:
        """Ask the process to stop."""
        self._event.set()

    def set_at_end_of(self, pipe: int) -> None:
        """Ask the process to stop when nobody holds the other end of a pipe any more."""

        def wait() -> None:
            tp_read(pipe, 1)
            self.set()

        gevent.spawn(wait)

    def _received(self, number: int) -> None:
        if self._event.is_set():
            os._exit(128 + number)
        self._event.set()


def seconds_since_start() -> float:
    """How long this process has run, by the kernel's own record of its start.

    A script that replaces itself by us keeps its process, and so its start: it says in
    KILOSTACK_REPLACED_AT when that was, in seconds since boot, as /proc/uptime has it.
    """
    try:
        replaced_at = os.environ.get("KILOSTACK_REPLACED_AT")
        if replaced_at:
            return time.clock_gettime(time.CLOCK_BOOTTIME) - float(replaced_at)
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - began
    except (OSError, IndexError, ValueError, AttributeError):
        return time.monotonic() - _STARTED
