"""Artifacts in memory."""

from collections.abc import Sequence
from typing import Any

from msgspec import structs

from kilo_catalog.db.base_artifact import ArtifactUsage
from kilo_catalog.domain.artifact import Artifact, is_visible, links_of
from kilo_catalog.domain.artifact_query import ArtifactPage, ArtifactQuery, meets
from kilo_catalog.domain.artifact_type import ArtifactType
from kilo_catalog.domain.artifact_version import sort_key
from kilo_catalog.errors import (
    ArtifactChanged,
    ArtifactExists,
    ArtifactNotFound,
    ListQueryInvalid,
)


class MemoryArtifacts:
    """The artifacts of one transaction, by their ids."""

    def __init__(
        self,
        rows: dict[str, Artifact],
        kinds: dict[str, ArtifactType],
        declared: dict[tuple[str, str], ArtifactType],
    ) -> None:
        """`kinds`: of each artifact, by its id; `declared`: by project and name."""
        self._rows = rows
        self._kinds = kinds
        self._declared = declared

    def copy(self) -> "MemoryArtifacts":
        """The same, to be changed without effect on these."""
        return MemoryArtifacts(dict(self._rows), dict(self._kinds), dict(self._declared))

    def add(self, artifact: Artifact, kind: ArtifactType) -> None:
        if artifact.id in self._rows:
            raise ArtifactExists("There is an artifact of that id", artifact_id=artifact.id)
        self._check_name(artifact)
        self._rows[artifact.id] = artifact
        self._kinds[artifact.id] = kind

    def get(self, artifact_id: str) -> Artifact:
        if artifact_id not in self._rows:
            raise ArtifactNotFound(f"There is no artifact {artifact_id[:64]}")
        return self._rows[artifact_id]

    def update(self, artifact: Artifact, kind: ArtifactType) -> Artifact:
        self._check_revision(artifact)
        self._check_name(artifact)
        kept = structs.replace(artifact, revision=artifact.revision + 1)
        self._rows[artifact.id] = kept
        self._kinds[artifact.id] = kind
        return kept

    def remove(self, artifact: Artifact) -> None:
        if artifact.id in self._rows:
            self._check_revision(artifact)
            del self._rows[artifact.id], self._kinds[artifact.id]

    def list_page(self, query: ArtifactQuery) -> ArtifactPage:
        found = [each for each in self._rows.values() if self._is_found(each, query)]
        if query.latest:
            newest: dict[tuple[Any, ...], Artifact] = {}
            for each in sorted(found, key=lambda one: sort_key(one.version)):
                newest[(each.owner, each.type_name, each.name)] = each
            found = list(newest.values())

        def place(artifact: Artifact) -> tuple[bool, Any, str]:
            value = getattr(artifact, query.sort)
            if query.sort == "version":
                value = sort_key(value)
            return value is not None, value if value is not None else "", artifact.id

        found.sort(key=place, reverse=query.descending)
        if query.marker is not None:
            marker = self._rows.get(query.marker)
            if marker is None or not self._is_in_reach(marker, query):
                raise ListQueryInvalid("The marker is not the id of an artifact in this list")
            limit = place(marker)
            found = [
                each
                for each in found
                if (place(each) < limit if query.descending else place(each) > limit)
            ]
        return ArtifactPage(tuple(found[: query.limit]), len(found) > query.limit)

    def dependents(self, artifact_id: str) -> Sequence[str]:
        return sorted(
            each.id
            for each in self._rows.values()
            if artifact_id in [target for _field, target in links_of(each, self._kinds[each.id])]
        )

    def dependencies(self, artifact_id: str) -> Sequence[str]:
        if artifact_id not in self._rows:
            return []
        links = links_of(self._rows[artifact_id], self._kinds[artifact_id])
        return sorted({target for _field, target in links})

    def usage(self, owner: str | None, type_name: str) -> ArtifactUsage:
        mine = [
            each
            for each in self._rows.values()
            if each.owner == owner and each.type_name == type_name
        ]
        sizes = (
            blob.size or 0 for each in mine for blob in each.blobs.values() if not blob.external
        )
        return ArtifactUsage(len(mine), sum(sizes))

    def add_type(self, owner: str, kind: ArtifactType) -> None:
        self._declared[(owner, kind.name)] = kind

    def types(self, owner: str | None) -> Sequence[ArtifactType]:
        mine = [kind for (project, _name), kind in self._declared.items() if project == owner]
        return sorted(mine, key=lambda kind: kind.name)

    def _is_in_reach(self, artifact: Artifact, query: ArtifactQuery) -> bool:
        return is_visible(artifact, query.project, is_admin=query.sees_all)

    def _is_found(self, artifact: Artifact, query: ArtifactQuery) -> bool:
        kind = self._kinds[artifact.id]
        return self._is_in_reach(artifact, query) and meets(artifact, {kind.name: kind}, query)

    def _check_revision(self, artifact: Artifact) -> None:
        present = self._rows.get(artifact.id)
        if present is None or present.revision != artifact.revision:
            raise ArtifactChanged("The artifact was changed by another request; try again")

    def _check_name(self, artifact: Artifact) -> None:
        mine = (artifact.owner, artifact.type_name, artifact.name, artifact.version)
        for each in self._rows.values():
            if each.id != artifact.id and mine == (
                each.owner, each.type_name, each.name, each.version,
            ):  # fmt: skip
                raise ArtifactExists(
                    f"There is a {artifact.name} {artifact.version} of that type already",
                    artifact_id=each.id,
                )
