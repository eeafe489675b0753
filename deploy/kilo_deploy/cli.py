"""The `kilostack` command: a table of subcommands, each imported when it is used."""

import importlib
import sys
from typing import Any

import click
from rich.console import Console

from kilo_common.errors import KiloError

COMMANDS = {
    "up": "kilo_deploy.commands.up:up",
    "serve": "kilo_deploy.commands.serve:serve",
    "demo": "kilo_deploy.commands.demo:demo",
    "bus": "kilo_deploy.commands.bus:bus",
    "topics": "kilo_deploy.commands.topics:topics",
    "images": "kilo_deploy.commands.images:images",
    "tasks": "kilo_deploy.commands.tasks:tasks",
    "subscriptions": "kilo_deploy.commands.subscriptions:subscriptions",
    "pools": "kilo_deploy.commands.pools:pools",
    "stores": "kilo_deploy.commands.stores:stores",
    "metadefs": "kilo_deploy.commands.metadefs:metadefs",
    "artifact": "kilo_deploy.commands.artifacts:artifact",
    "db": "kilo_deploy.commands.db:db",
    "config": "kilo_deploy.commands.config:config",
    "docs": "kilo_deploy.commands.docs:docs",
}
EXIT_REFUSED = 2


class CommandTable(click.Group):
    """Finds its commands in `COMMANDS`, and turns our errors into a sentence and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KiloError as error:
            console = Console(stderr=True, soft_wrap=True, highlight=False)
            console.print("[bold red]kilostack:[/]", end=" ")
            console.print(str(error), markup=False)
            sys.exit(EXIT_REFUSED)


@click.group(cls=CommandTable, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kilostack")
def main() -> None:
    """An image catalog and a messaging service, joined by a bus, in one command."""
