"""System tools that features rest on: present, or which feature is off and how to get it."""

import shutil
from dataclasses import dataclass


@dataclass(frozen=True)
class Tool:
    """A program that is not ours."""

    name: str
    feature: str
    remedy: str


TOOLS = (
    Tool("qemu-img", "image conversion", "apt-get install qemu-utils"),
    Tool("openstack", "the openstack command line", "pip install python-openstackclient"),
)


def missing_tools() -> list[Tool]:
    """The tools that are not on the PATH."""
    return [tool for tool in TOOLS if shutil.which(tool.name) is None]
