"""Processes of ours that a test may kill, and a broker that it may."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from brokers.rabbitmq import Node


@pytest.fixture
def node(own_node: Node) -> Node:
    """A node that runs and takes messages, whatever a test did to it before."""
    if not own_node.greets():
        own_node.start()
    return own_node


@pytest.fixture
def process() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts `worker.py` with arguments, as a process that may be killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> "subprocess.Popen[str]":
        worker = Path(__file__).with_name("worker.py")
        child = subprocess.Popen(
            [sys.executable, worker, *arguments], stdout=subprocess.PIPE, text=True
        )
        started.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        return child

    yield start
    for child in started:
        child.kill()
        assert child.stdout is not None
        child.stdout.close()
        child.wait()
