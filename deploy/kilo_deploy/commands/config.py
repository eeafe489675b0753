"""`kilostack config`: a documented sample, and a check of a file."""

from pathlib import Path

import click

from kilo_common.config_sample import sample as make_sample
from kilo_deploy.commands import options
from kilo_deploy.config import StackSettings


@click.group()
def config() -> None:
    """Print a sample configuration, or check one."""


@config.command()
def sample() -> None:
    """Print every key with its meaning, its allowed values and its default."""
    click.echo(make_sample(StackSettings), nl=False)


@config.command()
@options.config_file
@options.state_dir
def check(config_file: Path | None, state_dir: Path | None) -> None:
    """Say whether a file (with the environment) can be used."""
    settings = options.read_settings(config_file, state_dir)
    click.echo(f"{config_file or 'The default configuration'} is fine; state: {settings.state_dir}")
