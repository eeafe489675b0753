"""Runs the public suites of tempest and its plugins against a stack of ours.

    python tests/peers/run_tempest.py [--suite image|messaging] [--environment FOLDER]

The suites and a Keystone are installed into environments of their own, if they are not there yet.
The stack is one of its own, on free ports; its identity service is the Keystone, because the suites
make users and projects as they need them. `EXCLUDED` says which tests are left out, and why.
"""

import argparse
import functools
import http.server
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tests")]

from kilo_deploy.state import StackInfo  # noqa: E402 - after the path is set
from kilo_deploy.testing import StackProcess  # noqa: E402
from support.keystone import KeystoneProcess  # noqa: E402
from support.sinks import mail_sink  # noqa: E402

SUITES: Mapping[str, str] = {
    "image": r"^(tempest\.api\.image|glance_tempest_plugin)\.",
    "messaging": r"^zaqar_tempest_plugin\.",
}
"""Each suite, and the regular expression of its tests."""
EXCLUDED: Mapping[str, str] = {}
"""Regular expressions of tests, and why each is left out."""


def main() -> int:
    """Run the suites; the exit code is tempest's."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--suite", action="append", choices=[*SUITES], help="Default: all.")
    parser.add_argument("--environment", type=Path, default=_folder("TEMPEST"))
    parser.add_argument("--keystone", type=Path, default=_folder("KEYSTONE"))
    parser.add_argument("--regex", help="The tests to run, whatever suite they belong to.")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="Keep configuration and results in this folder.")
    given = parser.parse_args()
    prepare(given.environment, "requirements.txt")
    prepare(given.keystone, "keystone.txt")
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        with (
            files_to_import(folder) as port,
            identity(given.keystone, folder) as keystone,
            mail_sink() as mail,
            stack(folder, port, mail.port, keystone) as info,
        ):
            keystone.add_service("image", "glance", info.catalog_url)
            keystone.add_service("messaging", "zaqar", info.messaging_url)
            configure(folder, keystone, port)
            chosen = [SUITES[each] for each in given.suite or SUITES]
            return run(given.environment, folder, given.regex or "|".join(chosen), given.workers)


def prepare(environment: Path, requirements: str) -> None:
    """Make an environment, unless it is there."""
    if environment.exists():
        return
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    listed = str(ROOT / "tests" / "peers" / requirements)
    subprocess.run([*pip, "--requirement", listed], check=True)


@contextmanager
def files_to_import(folder: Path) -> Iterator[int]:
    """The port of a web server with two images to import."""
    served = folder / "served"
    served.mkdir(exist_ok=True)
    (served / "image.raw").write_bytes(os.urandom(1 << 20))
    make = ["qemu-img", "create", "-q", "-f", "qcow2", str(served / "image.qcow2"), "16M"]
    subprocess.run(make, check=True)
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(_Quiet, directory=str(served))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        del format, args


@contextmanager
def identity(environment: Path, folder: Path) -> Iterator[KeystoneProcess]:
    """A Keystone with the roles that the suites ask for, and a user for our services."""
    home = folder / "keystone"
    home.mkdir()
    process = KeystoneProcess(environment, home)
    try:
        process.add_user("kilostack", "service", "service")
        yield process
    finally:
        process.stop()


@contextmanager
def stack(
    folder: Path, port: int, mail_port: int, keystone: KeystoneProcess
) -> Iterator[StackInfo]:
    """A stack with two stores and the standard metadata definitions, which sends mail.

    Subscribers are asked to confirm: the suite expects that who has not may be subscribed again.
    """
    config, state = folder / "kilo.toml", folder / "state"
    config.write_text(
        f"""
[auth]
strategy = "keystone"
[auth.keystone]
auth_url = "{keystone.url}/v3"
username = "kilostack"
password = "kilostack"
[catalog]
default_store = "main"
[catalog.stores.main]
path = "{{state_dir}}/images"
[catalog.stores.second]
path = "{{state_dir}}/second"
[catalog.imports.fetch]
allow_loopback = true
ports = [80, {port}]
[messaging.deliveries]
require_confirmation = true
[messaging.deliveries.fetch]
allow_loopback = true
[messaging.deliveries.mail]
host = "127.0.0.1"
port = {mail_port}
"""
    )
    load = ["metadefs", "load", "--standard", "--config", str(config), "--state-dir", str(state)]
    kilostack = [sys.executable, "-m", "kilo_deploy.entry"]
    subprocess.run([*kilostack, *load], check=True, stdout=subprocess.DEVNULL)
    process = StackProcess(state, ["--config", str(config)])
    try:
        yield process.wait_ready()
    finally:
        process.interrupt()
        (folder / "stack.log").write_text("".join(process.output))


def configure(folder: Path, keystone: KeystoneProcess, port: int) -> None:
    """Write tempest's configuration and the list of what is left out."""
    (folder / "locks").mkdir(exist_ok=True)
    (folder / "tempest.conf").write_text(
        f"""
[DEFAULT]
log_file = {folder}/tempest.log
debug = true
[oslo_concurrency]
lock_path = {folder}/locks
[auth]
use_dynamic_credentials = true
admin_username = admin
admin_password = admin
admin_project_name = admin
admin_domain_name = Default
admin_system = all
[identity]
uri_v3 = {keystone.url}/v3
region = RegionOne
[service_available]
glance = true
zaqar = true
cinder = false
neutron = false
nova = false
swift = false
horizon = false
[enforce_scope]
glance = true
[image]
region = RegionOne
http_image = http://127.0.0.1:{port}/image.raw
http_qcow2_image = http://127.0.0.1:{port}/image.qcow2
image_caching_enabled = true
build_timeout = 60
[image-feature-enabled]
import_image = true
os_glance_reserved = true
manage_locations = true
image_conversion = false
"""
    )
    (folder / "exclude.txt").write_text("".join(f"{each}\n" for each in EXCLUDED))


def run(environment: Path, folder: Path, regex: str, workers: int) -> int:
    """Run the tests; tempest prints what it sees."""
    tempest = str(environment / "bin" / "tempest")
    environ = {**os.environ, "PATH": f"{environment / 'bin'}:{os.environ['PATH']}"}
    environ["PYTHONWARNINGS"] = "ignore"
    for name in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE"):
        environ.pop(name, None)
    workspace = ["--workspace-path", str(folder / "workspaces.yaml"), "--workspace", "peers"]
    place = folder / "run"
    init = ["init", "--name", "peers", "--workspace-path", workspace[1], str(place)]
    subprocess.run([tempest, *init], env=environ, check=True, stdout=subprocess.DEVNULL)
    (place / "etc" / "tempest.conf").write_text((folder / "tempest.conf").read_text())
    done = subprocess.run(
        [
            *(tempest, "run", *workspace, "--regex", regex, "--concurrency", str(workers)),
            *("--exclude-list", str(folder / "exclude.txt")),
        ],
        env=environ,
        cwd=place,
        check=False,
    )
    return done.returncode


def _folder(name: str) -> Path:
    """An environment: the variable's, or one in the checkout."""
    given = os.environ.get(f"TEST_{name}_FOLDER")
    return Path(given) if given else ROOT / f".venv-{name.lower()}"


if __name__ == "__main__":
    sys.exit(main())
