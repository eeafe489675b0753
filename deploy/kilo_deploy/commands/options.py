"""The options that several commands share, and the settings they lead to."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from kilo_deploy.config import StackSettings, load_stack

F = TypeVar("F", bound=Callable[..., Any])

config_file = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="The TOML file to read; `kilostack config sample` prints one.",
)
state_dir = click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    help="The folder where databases and images are kept.",
)


def read_settings(
    config_file: Path | None, state_dir: Path | None, strategy: str | None = None
) -> StackSettings:
    """The settings from file, environment and options.

    Raises:
        ConfigInvalid: with file, key and what is allowed.
    """
    overrides = {} if state_dir is None else {"state_dir": str(state_dir)}
    if strategy is not None:
        overrides["auth.strategy"] = strategy
    return load_stack(config_file, os.environ, overrides)
