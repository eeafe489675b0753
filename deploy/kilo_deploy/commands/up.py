"""`kilostack up`: the whole stack in the foreground."""

import os
import shutil
import tempfile
from pathlib import Path

import click
from rich.console import Console

from kilo_common import logs
from kilo_common.http.auth import STRATEGIES
from kilo_deploy import banner
from kilo_deploy.commands import options
from kilo_deploy.config import StackSettings, for_a_while, prepare_state_dir, shift_ports
from kilo_deploy.processes import (
    StopSignal,
    open_runtime,
    seconds_since_start,
    spare_the_collector,
)
from kilo_deploy.stack import Stack


@click.command()
@options.config_file
@options.state_dir
@click.option("--port-offset", type=int, default=0, help="Add this to every port.")
@click.option(
    "--ephemeral", is_flag=True, help="Keep state in a temporary folder that goes at the end."
)
@click.option(
    "--auth",
    "strategy",
    type=click.Choice(STRATEGIES.names()),
    help="How callers are identified; default: auth.strategy of the configuration.",
)
def up(
    config_file: Path | None,
    state_dir: Path | None,
    port_offset: int,
    ephemeral: bool,
    strategy: str | None,
) -> None:
    """Run the whole stack in the foreground, until Ctrl-C."""
    temporary = Path(tempfile.mkdtemp(prefix="kilostack-")) if ephemeral else None
    try:
        settings = options.read_settings(config_file, temporary or state_dir, strategy)
        if temporary is not None:
            settings = for_a_while(settings)
        _run(shift_ports(settings, port_offset))
        if temporary is None:
            Console(soft_wrap=True).print(f"Stopped. State is kept in {settings.state_dir}")
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _run(settings: StackSettings) -> None:
    logs.setup(settings.log)
    stop = StopSignal()
    console = Console()
    prepare_state_dir(Path(settings.state_dir))  # before anything is kept there
    runtime = open_runtime(settings)
    stack = Stack(settings, runtime, os.getpid())
    info = stack.start()
    spare_the_collector()
    banner.show(console, info, Path(settings.state_dir), seconds_since_start())
    stop.wait()
    console.print("Stopping; requests in hand may finish (Ctrl-C again to end at once).")
    stack.stop()
