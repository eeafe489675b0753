"""The layers of .importlinter hold, and the rules that import-linter cannot express."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "common/kilo_common",
    "catalog/kilo_catalog",
    "messaging/kilo_messaging",
    "deploy/kilo_deploy",
)
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def test_the_layers_hold() -> None:
    # In a process of its own: import-linter sets up logging for the whole process.
    script = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_kombu_is_imported_by_its_driver_only() -> None:
    importers = {path for path in MODULES if {"kombu", "amqp"} & imported(path)}
    assert importers
    assert all("kombu_transport" in path.parts for path in importers)


def test_zmq_is_imported_by_its_driver_only() -> None:
    importers = [path for path in MODULES if "zmq" in imported(path)]
    assert importers
    assert all("zmq_transport" in path.parts for path in importers)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_lives_in_it(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not tree.body or ast.get_docstring(tree), "no module docstring"
    assert path.stem not in {"utils", "util", "helpers", "misc", "common"}
    assert len(path.read_text().splitlines()) <= 500


def test_only_start_files_patch_the_standard_library() -> None:
    patchers = [path for path in MODULES if "patch_all()" in path.read_text()]
    assert [path.name for path in patchers] == ["entry.py"]


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names
