"""The release policy holds, and finds what does not."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "release_policy.py"


@pytest.fixture(scope="module")
def policy() -> ModuleType:
    """The script as a module; it is no part of a package."""
    spec = importlib.util.spec_from_file_location("release_policy", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_this_repository_may_be_released() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "version", ["1.0.0a1", "1.0.0rc1", "1.0.0.dev3", "1.0.0+local", "1.0", "x"]
)
def test_a_version_that_is_no_release_is_found(policy: ModuleType, version: str) -> None:
    assert len(list(policy.check_version(version))) == 1
    assert list(policy.check_version("0.1.0")) == []


@pytest.mark.parametrize(
    ("requirement", "fault"),
    [
        ("thing>=1.2,<1.6", None),
        ("thing>=1.2,<1.5.9", None),
        ("thing>=1.2,<1.7", "cap it at <1.6"),
        ("thing>=1.2,<2", "cap it at <1.6"),
        ("thing>=1.2", "has no cap"),
        ("thing>=1.2,<1.5", "excludes 1.5.3"),
        ("other<1", "has no tested version"),
    ],
)
def test_a_cap_that_is_missing_or_too_high_is_found(
    policy: ModuleType, requirement: str, fault: str | None
) -> None:
    faults = list(policy.check_caps([Requirement(requirement)], {"thing": "1.5.3"}))
    assert len(faults) == (0 if fault is None else 1)
    assert fault is None or fault in faults[0]


def test_a_namespace_package_is_found(policy: ModuleType, tmp_path: Path) -> None:
    good, bare = tmp_path / "kilo_good", tmp_path / "kilo_bare"
    (good / "inner").mkdir(parents=True)
    bare.mkdir()
    (good / "__init__.py").touch()
    (good / "inner" / "__init__.py").write_text("__path__ = extend_path(__path__, __name__)")
    (bare / "module.py").touch()
    faults = list(policy.check_packages([good, bare]))
    assert len(faults) == 2
    assert "inner" in faults[0]
    assert "kilo_bare has no __init__.py" in faults[1]


def test_constraints_are_read_as_they_are_written(policy: ModuleType) -> None:
    pins = {"alembic": "1.20.1", "click": "8.5.1"}
    assert policy.read_constraints(policy.render_constraints(pins)) == pins
