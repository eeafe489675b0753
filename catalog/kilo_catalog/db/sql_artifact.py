"""Artifacts in an SQL database."""

import hashlib
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from kilo_catalog.db.artifact_tables import (
    artifact_links,
    artifact_types,
    artifact_values,
    artifact_words,
    artifacts,
)
from kilo_catalog.db.base_artifact import ArtifactUsage
from kilo_catalog.db.sql_artifact_listing import page_statement, probes
from kilo_catalog.domain.artifact import (
    Artifact,
    ArtifactBlob,
    ArtifactStatus,
    ArtifactVisibility,
    is_visible,
    links_of,
)
from kilo_catalog.domain.artifact_query import ArtifactPage, ArtifactQuery, index_of, words_of
from kilo_catalog.domain.artifact_type import ArtifactType
from kilo_catalog.domain.artifact_version import sort_key
from kilo_catalog.errors import (
    ArtifactChanged,
    ArtifactExists,
    ArtifactNotFound,
    ListQueryInvalid,
)

_rows = artifacts.c
LONGEST_VALUE = 255
FEW = 200
_INDEXES = (artifact_values, artifact_words, artifact_links)


class _Document(msgspec.Struct, frozen=True):
    """The part of an artifact that its row keeps as JSON."""

    tags: tuple[str, ...]
    metadata: dict[str, str]
    fields: dict[str, Any]
    blobs: dict[str, ArtifactBlob]


_read_document = msgspec.json.Decoder(_Document).decode
_read_type = msgspec.json.Decoder(ArtifactType).decode


class SqlArtifacts:
    """The artifacts, inside one transaction; a writer takes hold of what it reads."""

    def __init__(self, connection: sa.Connection, *, locks: bool) -> None:
        self._connection = connection
        self._locks = locks

    def add(self, artifact: Artifact, kind: ArtifactType) -> None:
        try:
            self._connection.execute(sa.insert(artifacts), _to_row(artifact))
        except sa.exc.IntegrityError:
            raise _exists(artifact) from None
        self._index(artifact, kind)

    def get(self, artifact_id: str) -> Artifact:
        statement = sa.select(artifacts).where(_rows.id == artifact_id)
        if self._locks:
            statement = statement.with_for_update()  # nothing on SQLite: it has one writer anyway
        row = self._connection.execute(statement).first()
        if row is None or row.id != artifact_id:  # MariaDB does not see spaces at the end
            raise ArtifactNotFound(f"There is no artifact {artifact_id[:64]}")
        return _to_artifact(row)

    def update(self, artifact: Artifact, kind: ArtifactType) -> Artifact:
        kept = msgspec.structs.replace(artifact, revision=artifact.revision + 1)
        statement = sa.update(artifacts).where(
            _rows.id == artifact.id, _rows.revision == artifact.revision
        )
        try:
            matched = self._connection.execute(statement, _to_row(kept))
        except sa.exc.IntegrityError:
            raise _exists(artifact) from None
        if matched.rowcount != 1:
            raise _changed()
        self._forget_indexes(artifact.id)
        self._index(kept, kind)
        return kept

    def remove(self, artifact: Artifact) -> None:
        self._forget_indexes(artifact.id)
        matched = self._connection.execute(
            sa.delete(artifacts).where(_rows.id == artifact.id, _rows.revision == artifact.revision)
        )
        if matched.rowcount != 1 and self._connection.scalar(
            sa.select(sa.exists().where(_rows.id == artifact.id))
        ):
            raise _changed()

    def list_page(self, query: ArtifactQuery) -> ArtifactPage:
        marker = None if query.marker is None else self._marker(query)
        among = self._rare(query)
        if among is not None and not among:
            return ArtifactPage((), has_more=False)
        statement = page_statement(query, marker, among)
        found = self._connection.execute(statement.limit(query.limit + 1))
        page = tuple(map(_to_artifact, found))
        return ArtifactPage(page[: query.limit], len(page) > query.limit)

    def dependents(self, artifact_id: str) -> Sequence[str]:
        links = artifact_links.c
        statement = sa.select(links.artifact_id).where(links.target_id == artifact_id).distinct()
        return list(self._connection.scalars(statement.order_by(links.artifact_id)))

    def dependencies(self, artifact_id: str) -> Sequence[str]:
        links = artifact_links.c
        statement = sa.select(links.target_id).where(links.artifact_id == artifact_id).distinct()
        return list(self._connection.scalars(statement.order_by(links.target_id)))

    def usage(self, owner: str | None, type_name: str) -> ArtifactUsage:
        count, size = self._connection.execute(
            sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(_rows.size), 0)).where(
                _rows.owner.is_(None) if owner is None else _rows.owner == owner,
                _rows.type_name == type_name,
            )
        ).one()
        return ArtifactUsage(count, int(size))

    def add_type(self, owner: str, kind: ArtifactType) -> None:
        types = artifact_types.c
        mine = (types.owner == owner, types.name == kind.name)
        self._connection.execute(sa.delete(artifact_types).where(*mine))
        document = msgspec.json.encode(kind).decode()
        self._connection.execute(
            sa.insert(artifact_types), {"owner": owner, "name": kind.name, "document": document}
        )

    def types(self, owner: str | None) -> Sequence[ArtifactType]:
        if owner is None:
            return []
        types = artifact_types.c
        statement = sa.select(types.document).where(types.owner == owner).order_by(types.name)
        return [_read_type(each) for each in self._connection.scalars(statement)]

    def _marker(self, query: ArtifactQuery) -> Artifact:
        row = self._connection.execute(sa.select(artifacts).where(_rows.id == query.marker)).first()
        marker = None if row is None else _to_artifact(row)
        if marker is None or not is_visible(marker, query.project, is_admin=query.sees_all):
            raise ListQueryInvalid("The marker is not the id of an artifact in this list")
        return marker

    def _rare(self, query: ArtifactQuery) -> Collection[str] | None:
        """The ids of all that can meet the query, if one of its conditions leaves but a few."""
        for probe in probes(query):
            found = self._connection.scalars(probe.limit(FEW + 1)).all()
            if len(found) <= FEW:
                return set(found)
        return None

    def _index(self, artifact: Artifact, kind: ArtifactType) -> None:
        mine = {"artifact_id": artifact.id}
        values = [
            {**mine, "field": each.field, "text": each.text[:LONGEST_VALUE], "number": each.number}
            for each in index_of(artifact, kind)
        ]
        words = [{**mine, "word": each} for each in sorted(words_of(artifact))]
        links = [
            {**mine, "field": field, "target_id": target}
            for field, target in dict.fromkeys(links_of(artifact, kind))
        ]
        found: tuple[list[dict[str, Any]], ...] = (values, words, links)
        for table, rows in zip(_INDEXES, found, strict=True):
            if rows:
                self._connection.execute(sa.insert(table), rows)

    def _forget_indexes(self, artifact_id: str) -> None:
        for table in _INDEXES:
            self._connection.execute(sa.delete(table).where(table.c.artifact_id == artifact_id))


def _identity(artifact: Artifact) -> str:
    parts = (artifact.owner, artifact.type_name, artifact.name, artifact.version)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _to_row(artifact: Artifact) -> dict[str, Any]:
    document = _Document(
        artifact.tags, dict(artifact.metadata), dict(artifact.fields), dict(artifact.blobs)
    )
    sizes = (each.size or 0 for each in artifact.blobs.values() if not each.external)
    return {
        "id": artifact.id,
        "type_name": artifact.type_name,
        "name": artifact.name,
        "version": artifact.version,
        "version_key": sort_key(artifact.version),
        "owner": artifact.owner,
        "identity": _identity(artifact),
        "status": artifact.status.value,
        "visibility": artifact.visibility.value,
        "description": artifact.description,
        "created_at": artifact.created_at,
        "updated_at": artifact.updated_at,
        "activated_at": artifact.activated_at,
        "size": sum(sizes),
        "document": msgspec.json.encode(document).decode(),
        "revision": artifact.revision,
    }


def _to_artifact(row: Any) -> Artifact:
    document = _read_document(row.document)
    return Artifact(
        id=row.id,
        type_name=row.type_name,
        name=row.name,
        version=row.version,
        owner=row.owner,
        status=ArtifactStatus(row.status),
        visibility=ArtifactVisibility(row.visibility),
        description=row.description,
        tags=document.tags,
        metadata=document.metadata,
        fields=document.fields,
        blobs=document.blobs,
        created_at=row.created_at,
        updated_at=row.updated_at,
        activated_at=row.activated_at,
        revision=row.revision,
    )


def _exists(artifact: Artifact) -> ArtifactExists:
    return ArtifactExists(f"There is a {artifact.name} {artifact.version} of that type already")


def _changed() -> ArtifactChanged:
    return ArtifactChanged("The artifact was changed by another request; try again")
