"""`kilostack serve`: one part of the stack as a process of its own."""

import os
import sys
from pathlib import Path

import click
from rich.console import Console

from kilo_common import logs
from kilo_common.http.server import HttpServer
from kilo_common.lifecycle import ServiceGroup
from kilo_deploy import crew, production
from kilo_deploy.commands import options
from kilo_deploy.config import StackSettings
from kilo_deploy.processes import (
    StopSignal,
    open_runtime,
    seconds_since_start,
    spare_the_collector,
)
from kilo_deploy.roles import ROLES, WITHOUT_PORT, Part, build_role


@click.command()
@click.argument("role", type=click.Choice(sorted(ROLES)))
@options.config_file
@options.state_dir
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    help="Processes behind one port (gunicorn), or beside one another where the role has none; "
    "1 serves in this process.",
)
def serve(role: str, config_file: Path | None, state_dir: Path | None, workers: int) -> None:
    """Run one part of the stack.

    The parts meet on the broker that bus.url names. Bring the databases up to date first, with
    `kilostack db upgrade`.
    """
    settings = options.read_settings(config_file, state_dir)
    if workers > 1 and role in WITHOUT_PORT:
        console = Console(soft_wrap=True, highlight=False)
        crew.run(role, settings, config_file, state_dir, workers, console.print)
        return
    if workers > 1:
        production.run(role, settings, config_file, workers)
    _run(role, settings)


def _run(role: str, settings: StackSettings) -> None:
    logs.setup(settings.log)
    stop = StopSignal()
    if os.environ.get(crew.CREW_VARIABLE):
        stop.set_at_end_of(sys.stdin.fileno())
    runtime = open_runtime(settings)
    part = build_role(role, settings, runtime)
    servers = _servers(role, part)
    everything = ServiceGroup((runtime.transport, *part.services, *servers))
    everything.start()
    spare_the_collector()
    where = f" at {servers[0].url}" if servers else ""
    Console(soft_wrap=True, highlight=False).print(
        f"{role} is ready{where} after {seconds_since_start():.2f} s"
    )
    stop.wait()
    everything.stop(settings.shutdown_timeout)
    part.close()


def _servers(role: str, part: Part) -> list[HttpServer]:
    if part.app is None or part.http is None:
        return []
    ports = (part.http.port, *part.extra_ports)
    return [HttpServer(part.app, part.http.host, port, name=role) for port in ports]
