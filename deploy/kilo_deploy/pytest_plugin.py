"""A pytest plugin: the fixture `kilostack` is a running stack with nothing in it, and `fault_proxy`
puts a server behind a proxy that misbehaves on request.

Installed with the package; a test takes `kilostack: StackInfo` and uses its URLs.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from kilo_common.testing.fault_proxy import FaultProxy
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


@pytest.fixture
def fault_proxy() -> Iterator[Callable[[str, int], FaultProxy]]:
    """Makes fault proxies for a test: `proxy = fault_proxy("127.0.0.1", 5672)`, to connect to at
    127.0.0.1 and `proxy.port`."""
    with ExitStack() as opened:
        yield lambda host, port: opened.enter_context(FaultProxy(host, port))
