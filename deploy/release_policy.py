"""The release policy: what must hold before a version is given out. Run by `nox -s release-policy`.

1. Our version is a release, `MAJOR.MINOR.PATCH`: no alpha, beta, candidate or development build.
2. Our packages are regular ones with names of their own: no namespace package, not by mistake.
3. Every runtime dependency is capped below the MINOR after the one we tested with, so that what is
   released stays installable when its dependencies go on.
4. `constraints.txt` pins one tested version of everything that gets installed. `--update` writes it
   from the environment that this runs in, which is the one that the tests ran in.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parents[1]
NOT_RUNTIME = frozenset({"dev"})
"""Extras whose packages are tools of this repository."""
HEADER = """\
# One tested version of everything that Kilostack installs: its dependencies, theirs, and the tools
# of the repository. Written by `nox -s release-policy -- --update`; not to be edited.
"""
Versions = Mapping[str, str]
"""Versions by the canonical names of distributions."""


@dataclass(frozen=True)
class Project:
    """What pyproject.toml says."""

    name: str
    version: str
    runtime: tuple[Requirement, ...]
    """Of the project and of its extras, without those that are not for running it."""
    tools: tuple[Requirement, ...]
    packages: tuple[Path, ...]


def read_project(root: Path) -> Project:
    """The project whose pyproject.toml is in `root`."""
    settings = tomllib.loads((root / "pyproject.toml").read_text())
    project = settings["project"]
    runtime = [Requirement(text) for text in project["dependencies"]]
    tools: list[Requirement] = []
    for extra, texts in project.get("optional-dependencies", {}).items():
        (tools if extra in NOT_RUNTIME else runtime).extend(Requirement(text) for text in texts)
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    return Project(
        name=canonicalize_name(project["name"]),
        version=project["version"],
        runtime=tuple(runtime),
        tools=tuple(each for each in tools if canonicalize_name(each.name) != project["name"]),
        packages=tuple(root / each for each in wheel["packages"]),
    )


def check_version(version: str) -> Iterator[str]:
    """What is wrong with our own version."""
    try:
        parsed = Version(version)
    except InvalidVersion:
        yield f"our version {version!r} is not a version"
        return
    if parsed.is_prerelease or parsed.is_devrelease or parsed.is_postrelease or parsed.local:
        yield f"our version {version} is not a release: give it as MAJOR.MINOR.PATCH"
    elif len(parsed.release) != 3:
        yield f"our version {version} is not MAJOR.MINOR.PATCH"


def check_packages(packages: Iterable[Path]) -> Iterator[str]:
    """What makes one of our packages a namespace package."""
    seen: set[str] = set()
    for package in packages:
        if package.name in seen or "." in package.name:
            yield f"the package {package.name} is not one with a name of its own"
        seen.add(package.name)
        folders = {path.parent for path in package.rglob("*.py")} | {package}
        for folder in sorted(folders):
            marker = folder / "__init__.py"
            if not marker.exists():
                yield f"{folder} has no __init__.py: it is a namespace package"
            elif re.search(r"declare_namespace|extend_path|pkgutil", marker.read_text()):
                yield f"{marker} declares a namespace package"


def check_caps(requirements: Iterable[Requirement], tested: Versions) -> Iterator[str]:
    """Which dependencies are not capped below the MINOR after the tested one."""
    for requirement in requirements:
        name = canonicalize_name(requirement.name)
        if name not in tested:
            yield f"{name} has no tested version in constraints.txt"
            continue
        version = Version(tested[name])
        following = Version(f"{version.major}.{version.minor + 1}")
        caps = [Version(each.version) for each in requirement.specifier if each.operator == "<"]
        if not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement} excludes {version}, which is the version we test with"
        elif not caps:
            yield f"{requirement} has no cap: write <{following}"
        elif min(caps) > following:
            yield f"{requirement} allows more than was tested ({version}): cap it at <{following}"


def read_constraints(text: str) -> dict[str, str]:
    """The pins in the text of a constraints file."""
    lines = [line.strip() for line in text.splitlines()]
    pins = [line.partition("==") for line in lines if line and not line.startswith("#")]
    return {name: version for name, _equals, version in pins}


def closure(
    requirements: Iterable[Requirement], find: Callable[[str], metadata.Distribution]
) -> dict[str, str]:
    """The versions of `requirements` and of all that they need, as they are installed.

    Raises:
        LookupError: one is not installed.
    """
    found: dict[str, str] = {}
    done: set[tuple[str, frozenset[str]]] = set()
    waiting = [(each, "") for each in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        key = (name, frozenset(requirement.extras))
        if key in done:
            continue
        done.add(key)
        try:
            distribution = find(requirement.name)
        except metadata.PackageNotFoundError:
            raise LookupError(f"{name} is not installed: run in the test environment") from None
        found[name] = distribution.version
        needs = [Requirement(text) for text in distribution.requires or ()]
        for wanted in ("", *requirement.extras):
            waiting += [(each, wanted) for each in needs]
    return dict(sorted(found.items()))


def render_constraints(pins: Versions) -> str:
    """The text of a constraints file."""
    return HEADER + "".join(f"{name}=={version}\n" for name, version in pins.items())


def main(arguments: list[str]) -> int:
    """Check, or with `--update` write the constraints first; 1 if something does not hold."""
    parser = argparse.ArgumentParser(prog="release-policy", description=__doc__)
    parser.add_argument("--update", action="store_true", help="write constraints.txt anew")
    options = parser.parse_args(arguments)
    project = read_project(ROOT)
    constraints = ROOT / "constraints.txt"
    if options.update:
        pins = closure((*project.runtime, *project.tools), metadata.distribution)
        constraints.write_text(render_constraints(pins))
    tested = read_constraints(constraints.read_text()) if constraints.exists() else {}
    faults = [
        *check_version(project.version),
        *check_packages(project.packages),
        *check_caps(project.runtime, tested),
    ]
    for fault in faults:
        sys.stderr.write(f"release policy: {fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
