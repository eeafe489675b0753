"""`kilostack bus proxy`: a broker, or another server, behind a proxy that misbehaves on request."""

import sys
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

import click
from rich.console import Console

from kilo_common.errors import ConfigInvalid, KiloError
from kilo_common.testing import fault_commands
from kilo_common.testing.fault_proxy import FaultProxy
from kilo_deploy.processes import StopSignal, native_threads

QUIT = "quit"


@click.command()
@click.argument("server", metavar="HOST:PORT")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Where to listen; 0: free.")
def proxy(server: str, port: int) -> None:
    """Listen on 127.0.0.1 and pass connections on to HOST:PORT, with faults when you ask for them.

    Point a program at the port that is printed, then type what shall go wrong: see what it does
    when its server is slow, silent or gone. `quit`, the end of the input or Ctrl-C ends it.
    """
    host, number = _address(server)
    console = Console(soft_wrap=True, highlight=False)
    stop = StopSignal()
    try:
        between = FaultProxy(host, number, port=port)
    except OSError as fault:
        raise ConfigInvalid(f"127.0.0.1:{port} cannot be listened on: {fault}") from None
    with between:
        console.print(f"127.0.0.1:{between.port} leads to {server}. Commands:", markup=False)
        console.print(fault_commands.usage() + f"\n{QUIT}", markup=False)
        threading.Thread(target=_obey, args=(between, console, stop.set), daemon=True).start()
        stop.wait()


def _obey(between: FaultProxy, console: Console, end: Callable[[], None]) -> None:
    read = native_threads()  # the input must not keep the connections waiting
    while (line := read.submit(sys.stdin.readline).result()) and line.strip() != QUIT:
        try:
            fault_commands.obey(between, line)
            console.print(line.strip() and "ok", markup=False)
        except KiloError as error:
            console.print(str(error), markup=False)
    end()


def _address(text: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        if parts.hostname and parts.port and not parts.path and not parts.username:
            return parts.hostname, parts.port
    except ValueError:
        pass
    raise ConfigInvalid(f"{text!r} is not HOST:PORT, such as 127.0.0.1:5672")
