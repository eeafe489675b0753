"""Which types of artifacts there are: those that come along, an operator's, and each project's."""

import importlib.resources
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from kilo_catalog.db.base import Transaction, UnitOfWork
from kilo_catalog.domain.artifact import Artifact
from kilo_catalog.domain.artifact_type import ArtifactType, read_type
from kilo_catalog.errors import ArtifactTypeInvalid, ArtifactTypeNotFound
from kilo_common.context import RequestContext
from kilo_common.errors import ConfigInvalid
from kilo_common.policy import Policy

GROUP = "kilostack.artifact_types"
"""Entry points: each a callable that returns a declaration, as a mapping."""
MOST_DECLARED = 50


def standard_types() -> Mapping[str, ArtifactType]:
    """The types that come with Kilostack, and those that installed packages declare, by name.

    Raises:
        ConfigInvalid: a package declares one that is none.
    """
    folder = importlib.resources.files("kilo_catalog.definitions") / "artifacts"
    found: dict[str, ArtifactType] = {}
    for file in sorted(folder.iterdir(), key=lambda each: each.name):
        if Path(file.name).suffix == ".toml":
            kind = read_type(tomllib.loads(file.read_text()), trusted=True)
            found[kind.name] = kind
    for point in entry_points(group=GROUP):
        try:
            kind = read_type(point.load()(), trusted=True)
        except ArtifactTypeInvalid as fault:
            raise ConfigInvalid(f"The artifact type {point.name}: {fault.message}") from fault
        found[kind.name] = kind
    return found


@dataclass(frozen=True)
class ArtifactTypes:
    """Find, list and declare types."""

    unit_of_work: UnitOfWork
    policy: Policy
    standard: Mapping[str, ArtifactType]

    def visible(self, context: RequestContext) -> Mapping[str, ArtifactType]:
        """The types that the caller's project may use, by name.

        Raises:
            PolicyForbids: it may use none.
        """
        self.policy.enforce(context, "get_artifacts", {})
        own = self.unit_of_work.read(lambda tx: tx.artifacts.types(context.project_id), brief=True)
        return {**{kind.name: kind for kind in own}, **self.standard}

    def of(
        self, context: RequestContext, artifacts: Iterable[Artifact]
    ) -> Mapping[str, ArtifactType]:
        """The types of these artifacts, by name; those of other projects are left out."""
        if all(each.type_name in self.standard for each in artifacts):
            return self.standard
        return self.visible(context)

    def find(self, context: RequestContext, name: str) -> ArtifactType:
        """The type of that name.

        Raises:
            ArtifactTypeNotFound: the project may use none of that name.
            PolicyForbids: it may use none at all.
        """
        standard = self.standard.get(name)
        if standard is not None:
            return standard
        found = self.visible(context).get(name)
        if found is None:
            raise ArtifactTypeNotFound(f"There is no type of artifacts {name[:64]!r}")
        return found

    def declare(self, context: RequestContext, body: object) -> ArtifactType:
        """Let the caller's project have a type of its own, or a changed one.

        A field that was there stays of its kind: artifacts have values in it.

        Raises:
            ArtifactTypeInvalid: the declaration is none, its name is taken, or contradicts before.
            PolicyForbids: the caller may not declare types.
        """
        if not isinstance(body, dict):
            raise ArtifactTypeInvalid("A type is declared by a JSON object")
        self.policy.enforce(context, "declare_artifact_type", {"owner": context.project_id})
        owner = context.project_id
        if owner is None:
            raise ArtifactTypeInvalid("Only a project can declare types")
        kind = read_type(body)
        if kind.name in self.standard:
            raise ArtifactTypeInvalid(f"{kind.name} is a type of every project")

        def work_on(own: Mapping[str, ArtifactType]) -> None:
            before = own.get(kind.name)
            if before is None and len(own) >= MOST_DECLARED:
                raise ArtifactTypeInvalid(f"A project declares at most {MOST_DECLARED} types")
            for name, field in (before.fields if before else {}).items():
                if name not in kind.fields or kind.fields[name].kind is not field.kind:
                    raise ArtifactTypeInvalid(
                        f"{name} was a {field.kind}: fields of a declared type stay", field=name
                    )

        def work(tx: Transaction) -> None:
            work_on({each.name: each for each in tx.artifacts.types(owner)})
            tx.artifacts.add_type(owner, kind)

        self.unit_of_work.write(work)
        return kind
