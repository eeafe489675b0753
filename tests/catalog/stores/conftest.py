"""Servers that the drivers are tested against, each in a process of its own."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def server_process(*command: str, port: int) -> Iterator[None]:
    """Runs until it listens, and then until the test is over."""
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"},
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, f"{command} ended"
                assert time.monotonic() < deadline, f"{command} does not listen"
                time.sleep(0.05)  # nobody tells when a foreign process listens
        yield
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """An S3 server with the bucket `images`."""
    boto3 = pytest.importorskip("boto3")
    port = free_port()
    with server_process("-m", "moto.server", "-H", "127.0.0.1", "-p", str(port), port=port):
        endpoint = f"http://127.0.0.1:{port}"
        client = boto3.client(
            "s3", endpoint_url=endpoint, region_name="us-east-1",
            aws_access_key_id="test", aws_secret_access_key="test",
        )  # fmt: skip
        client.create_bucket(Bucket="images")
        client.close()
        yield endpoint


@pytest.fixture(scope="session")
def swift_auth_url() -> Iterator[str]:
    """A server that speaks Swift's protocol."""
    port = free_port()
    script = str(Path(__file__).parents[2] / "support" / "swift_server.py")
    with server_process(script, str(port), port=port):
        yield f"http://127.0.0.1:{port}/auth/v1.0"
