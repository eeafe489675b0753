"""A pytest plugin: the fixture `kilostack` is a running stack with nothing in it, and `fault_proxy`
puts a server behind a proxy that misbehaves on request.

Installed with the package; a test takes `kilostack: StackInfo` and uses its URLs. Callers sign in
with one of `kilostack.accounts` at `kilostack.identity_url`; the fixture `kilostack_headers` has
done so, for the first of them.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from kilo_common.testing.fault_proxy import FaultProxy
from kilo_deploy.accounts import sign_in
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


@pytest.fixture(scope="session")
def kilostack_headers(kilostack: StackInfo) -> dict[str, str]:
    """The headers that make a request one of an administrator in the stack's own project."""
    return sign_in(kilostack, kilostack.project, {})


@pytest.fixture
def fault_proxy() -> Iterator[Callable[[str, int], FaultProxy]]:
    """Makes fault proxies for a test: `proxy = fault_proxy("127.0.0.1", 5672)`, to connect to at
    127.0.0.1 and `proxy.port`."""
    with ExitStack() as opened:
        yield lambda host, port: opened.enter_context(FaultProxy(host, port))
