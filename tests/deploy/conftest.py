"""Stacks as processes, and the environment with unmodified clients."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from kilo_deploy.clouds import write
from kilo_deploy.state import StackInfo
from kilo_deploy.testing import StackProcess
from support.clients import Clients

ROOT = Path(__file__).parents[2]


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def stack(state_dir: Path) -> Iterator[StackProcess]:
    """A stack of the test's own, ready; killed at the end if the test did not stop it."""
    process = StackProcess(state_dir)
    try:
        process.wait_ready()
        yield process
    finally:
        process.kill()


@pytest.fixture(scope="session")
def clients_folder() -> Path:
    """The environment that `deploy/test.sh` made of tests/clients.txt."""
    folder = Path(os.environ.get("TEST_CLIENTS_FOLDER") or ROOT / ".venv-clients")
    if not (folder / "bin" / "openstack").exists():
        message = f"no clients in {folder}: run deploy/test.sh, which installs them"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="session")
def keystone_folder() -> Path:
    """The environment that `deploy/test.sh` made of tests/peers/keystone.txt."""
    folder = Path(os.environ.get("TEST_KEYSTONE_FOLDER") or ROOT / ".venv-keystone")
    if not (folder / "bin" / "keystone-manage").exists():
        message = f"no Keystone in {folder}: run deploy/test.sh, which installs it"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture
def clients(clients_folder: Path, kilostack: StackInfo, tmp_path: Path) -> Clients:
    """Clients of the session's stack."""
    return Clients(clients_folder, write(tmp_path, kilostack))


@pytest.fixture(scope="session")
def disk_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real qcow2 image: a file system with files in it, made by qemu-img."""
    for tool in ("qemu-img", "mkfs.ext4"):
        if shutil.which(tool) is None and not Path("/usr/sbin", tool).exists():
            if os.environ.get("CI") == "true":
                pytest.fail(f"{tool} is not installed")
            pytest.skip(f"{tool} is not installed")
    folder = tmp_path_factory.mktemp("disk")
    content, raw, qcow2 = folder / "content", folder / "disk.raw", folder / "disk.qcow2"
    content.mkdir()
    for number in range(8):
        (content / f"file{number}").write_bytes(os.urandom(512 * 1024))
    run(["qemu-img", "create", "-q", "-f", "raw", str(raw), "32M"])
    mkfs = shutil.which("mkfs.ext4") or "/usr/sbin/mkfs.ext4"
    run([mkfs, "-q", "-F", "-d", str(content), str(raw)])
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(qcow2)])
    return qcow2


def run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)
