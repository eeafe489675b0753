"""System tools that features rest on: present, or which feature is off and how to get it."""

import shutil
from dataclasses import dataclass


@dataclass(frozen=True)
class Tool:
    """A program that is not ours."""

    name: str
    consequence: str
    """What does not work without it."""
    remedy: str


TOOLS = (
    Tool("qemu-img", "image conversion is off", "apt-get install qemu-utils"),
    Tool(
        "openstack",
        "two of the commands above need it",
        "pip install python-openstackclient python-zaqarclient",
    ),
)


def missing_tools() -> list[Tool]:
    """The tools that are not on the PATH."""
    return [tool for tool in TOOLS if shutil.which(tool.name) is None]
