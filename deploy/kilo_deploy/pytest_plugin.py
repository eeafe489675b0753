"""A pytest plugin: the fixture `kilostack` is a running stack with nothing in it.

Installed with the package; a test takes `kilostack: StackInfo` and uses its URLs.
"""

from collections.abc import Iterator

import pytest

from kilo_deploy.state import StackInfo
from kilo_deploy.testing import StackProcess


@pytest.fixture(scope="session")
def kilostack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackInfo]:
    """A stack of its own for this test session, on free ports of the loopback address."""
    process = StackProcess(tmp_path_factory.mktemp("kilostack"))
    try:
        yield process.wait_ready()
        process.interrupt()
    finally:
        process.kill()
