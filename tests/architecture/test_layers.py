"""The layers of .importlinter hold, and the rules that import-linter cannot express."""

import ast
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "common/kilo_common",
    "catalog/kilo_catalog",
    "messaging/kilo_messaging",
    "deploy/kilo_deploy",
)
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def test_the_layers_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0


def test_kombu_is_imported_by_its_driver_only() -> None:
    importers = {path for path in MODULES if {"kombu", "amqp"} & imported(path)}
    assert {path.parent.name for path in importers} == {"kombu_transport"}


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
