"""A pytest plugin: the fixture `kilostack` is a running stack with nothing in it.

Installed with the package; a test takes `kilostack: StackInfo` and uses its URLs. Callers sign in
with one of `kilostack.accounts` at `kilostack.identity_url`; the fixture `kilostack_headers` has
done so, for the first of them.
"""

from collections.abc import Iterator

import pytest

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
