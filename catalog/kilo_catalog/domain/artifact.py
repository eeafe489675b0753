"""An artifact: a named, versioned thing with fields and bytes. How it lives, what may change."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct, structs

from kilo_catalog.domain.artifact_type import BLOBS, LINKS, ArtifactType, Kind
from kilo_catalog.errors import ArtifactIncomplete, ArtifactStateConflict


class ArtifactStatus(StrEnum):
    DRAFTED = "drafted"
    """Being made: everything may change."""
    ACTIVE = "active"
    """In use: only what is mutable may change."""
    DEACTIVATED = "deactivated"
    """Closed to all but administrators."""
    DELETED = "deleted"


class ArtifactVisibility(StrEnum):
    PRIVATE = "private"
    PUBLIC = "public"


_S = ArtifactStatus
TRANSITIONS: Mapping[ArtifactStatus, frozenset[ArtifactStatus]] = {
    _S.DRAFTED: frozenset({_S.ACTIVE, _S.DELETED}),
    _S.ACTIVE: frozenset({_S.DEACTIVATED, _S.DELETED}),
    _S.DEACTIVATED: frozenset({_S.ACTIVE, _S.DELETED}),
    _S.DELETED: frozenset(),
}
ALWAYS_MUTABLE = frozenset({"description", "tags", "metadata", "visibility"})
"""Of the fields that every artifact has, those that may change while it is active."""


class ArtifactBlob(Struct, frozen=True, kw_only=True):
    """Bytes of an artifact."""

    size: int | None
    """None: elsewhere, and nobody has counted."""
    md5: str | None
    sha1: str | None
    sha256: str | None
    content_type: str
    store: str = ""
    key: str = ""
    """Where they are; empty where they are elsewhere."""
    url: str = ""
    """Elsewhere."""

    @property
    def external(self) -> bool:
        """Whether they are not in one of our stores."""
        return bool(self.url)


class Artifact(Struct, frozen=True, kw_only=True):
    """An artifact as it is kept."""

    id: str
    type_name: str
    name: str
    version: str
    owner: str | None
    status: ArtifactStatus = ArtifactStatus.DRAFTED
    visibility: ArtifactVisibility = ArtifactVisibility.PRIVATE
    description: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = {}
    fields: Mapping[str, Any] = {}
    """What is set of the type's own fields, blobs apart."""
    blobs: Mapping[str, ArtifactBlob] = {}
    """By path: `FIELD`, or `FIELD/NAME`."""
    created_at: datetime
    updated_at: datetime
    activated_at: datetime | None = None
    revision: int = 1
    """Grows with each change."""


def move(artifact: Artifact, kind: ArtifactType, status: ArtifactStatus, now: datetime) -> Artifact:
    """The artifact in another status; the one it has is no change.

    Raises:
        ArtifactStateConflict: no way leads there.
        ArtifactIncomplete: it cannot become active yet.
    """
    if status is artifact.status:
        return artifact
    if status not in TRANSITIONS[artifact.status]:
        raise ArtifactStateConflict(
            f"An artifact that is {artifact.status} cannot become {status}", status=artifact.status
        )
    if status is ArtifactStatus.ACTIVE:
        missing = [name for name in _required(kind) if not is_set(artifact, kind, name)]
        if missing:
            raise ArtifactIncomplete(
                f"The artifact cannot become active without {', '.join(missing)}", missing=missing
            )
    activated = artifact.activated_at
    if status is ArtifactStatus.ACTIVE and activated is None:
        activated = now
    return structs.replace(artifact, status=status, activated_at=activated, updated_at=now)


def is_set(artifact: Artifact, kind: ArtifactType, name: str) -> bool:
    """Whether a field of the type has a value."""
    if kind.fields[name].kind in BLOBS:
        return any(path.partition("/")[0] == name for path in artifact.blobs)
    return artifact.fields.get(name) not in (None, "", [], (), {})


def links_of(artifact: Artifact, kind: ArtifactType) -> Sequence[tuple[str, str]]:
    """The artifacts it depends on, as pairs of field and id."""
    found: list[tuple[str, str]] = []
    for name, field in kind.fields.items():
        value = artifact.fields.get(name)
        if value is None or field.kind not in LINKS:
            continue
        found += [(name, each) for each in ([value] if field.kind is Kind.LINK else value)]
    return found


def is_visible(artifact: Artifact, project: str | None, *, is_admin: bool) -> bool:
    """Whether a project may know of it."""
    if is_admin or (artifact.owner is not None and artifact.owner == project):
        return True
    return artifact.visibility is ArtifactVisibility.PUBLIC


def _required(kind: ArtifactType) -> list[str]:
    return [name for name, field in kind.fields.items() if field.required_on_activate]
