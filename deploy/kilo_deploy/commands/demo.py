"""`kilostack demo`: the journey of one image and its news, narrated."""

import os
import tempfile
from pathlib import Path

import click
from rich.console import Console

from kilo_common import logs
from kilo_common.settings import LogSettings
from kilo_deploy.commands import options
from kilo_deploy.config import default_state_dir, load_stack
from kilo_deploy.demo import Demo
from kilo_deploy.processes import open_runtime
from kilo_deploy.stack import Stack
from kilo_deploy.state import find_running


@click.command()
@options.state_dir
def demo(state_dir: Path | None) -> None:
    """Show what the stack does, on the one that runs, or on one of its own."""
    console = Console(highlight=False)
    running = find_running(state_dir or default_state_dir(os.environ))
    if running is not None:
        console.print(f"Using the stack that runs at {running.catalog_url}.")
        Demo(running, console).run()
        return
    logs.setup(LogSettings(level="warning"))
    with tempfile.TemporaryDirectory(prefix="kilostack-") as folder:
        console.print("No stack is running: starting one of its own, on free ports.")
        settings = load_stack(
            None,
            {},
            {
                "state_dir": folder,
                "catalog.http.port": 0,
                "messaging.http.port": 0,
                "messaging.websocket_port": 0,
                "auth.dev.http.port": 0,
                "dashboard.enabled": False,
            },
        )
        stack = Stack(settings, open_runtime(settings), os.getpid())
        info = stack.start()
        try:
            Demo(info, console).run()
        finally:
            stack.stop()
