"""The interface to the artifacts. Every driver passes `tests/contracts/artifacts.py`."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from kilo_catalog.domain.artifact import Artifact
from kilo_catalog.domain.artifact_query import ArtifactPage, ArtifactQuery
from kilo_catalog.domain.artifact_type import ArtifactType


class ArtifactUsage(Struct, frozen=True):
    """What a project's artifacts of one type take."""

    count: int
    size: int
    """Bytes in our stores."""


class ArtifactRepository(Protocol):
    """The artifacts inside one transaction, and the types that projects declared."""

    def add(self, artifact: Artifact, kind: ArtifactType) -> None:
        """Keep a new artifact.

        Raises:
            ArtifactExists: its owner has one of that type, name and version, or the id is taken.
            The transaction must end.
        """
        ...

    def get(self, artifact_id: str) -> Artifact:
        """The artifact of that id.

        Raises:
            ArtifactNotFound: there is none.
        """
        ...

    def update(self, artifact: Artifact, kind: ArtifactType) -> Artifact:
        """Keep a changed artifact in place of the revision it was made from; the kept one, with its
        new revision, is returned.

        Raises:
            ArtifactChanged: the record has moved on since. The transaction must end.
            ArtifactExists: its new name and version are another's. The transaction must end.
        """
        ...

    def remove(self, artifact: Artifact) -> None:
        """Forget an artifact. Twice is harmless.

        Raises:
            ArtifactChanged: the record has moved on since. The transaction must end.
        """
        ...

    def list_page(self, query: ArtifactQuery) -> ArtifactPage:
        """One page of the artifacts in reach that meet all conditions; those with equal sort keys
        come in the order of their ids.

        Raises:
            ListQueryInvalid: the marker is no artifact in reach.
        """
        ...

    def dependents(self, artifact_id: str) -> Sequence[str]:
        """The ids of the artifacts that link to it."""
        ...

    def dependencies(self, artifact_id: str) -> Sequence[str]:
        """The ids of the artifacts that it links to."""
        ...

    def usage(self, owner: str | None, type_name: str) -> ArtifactUsage:
        """What the artifacts of one owner and type take."""
        ...

    def add_type(self, owner: str, kind: ArtifactType) -> None:
        """Keep a type that a project declared, in place of the one of that name if it has it."""
        ...

    def types(self, owner: str | None) -> Sequence[ArtifactType]:
        """The types that a project declared, by name."""
        ...
