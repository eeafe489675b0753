"""The operations on artifacts: draft, show, list, change, activate, delete; and what they need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec import structs

from kilo_catalog.db.base import Doomed, Transaction, UnitOfWork
from kilo_catalog.domain.artifact import (
    Artifact,
    ArtifactStatus,
    ArtifactVisibility,
    links_of,
    move,
)
from kilo_catalog.domain.artifact_changes import new_artifact, patched
from kilo_catalog.domain.artifact_query import ArtifactPage, Pairs, parse_artifact_query
from kilo_catalog.domain.artifact_type import ArtifactType
from kilo_catalog.domain.limits import ArtifactLimits, Limits
from kilo_catalog.errors import (
    ArtifactIncomplete,
    ArtifactInvalid,
    ArtifactNeeded,
    ArtifactNotFound,
    ArtifactStateConflict,
    QuotaExceeded,
)
from kilo_catalog.service.artifact_access import ANY, ArtifactAccess, target
from kilo_catalog.service.artifact_types import ArtifactTypes
from kilo_catalog.service.blob_removal import BlobRemoval
from kilo_catalog.service.events import EventRecorder
from kilo_common.clock import Clock
from kilo_common.context import RequestContext
from kilo_common.ids import IdSource

DEEPEST = 1000
"""Artifacts that a walk along dependencies looks at."""
_DONE = {ArtifactStatus.ACTIVE: "activate", ArtifactStatus.DEACTIVATED: "deactivate"}


@dataclass(frozen=True)
class Artifacts:
    """What may be done to artifacts, their bytes apart."""

    unit_of_work: UnitOfWork
    access: ArtifactAccess
    types: ArtifactTypes
    events: EventRecorder
    removal: BlobRemoval
    clock: Clock
    new_id: IdSource
    limits: Limits
    room: ArtifactLimits

    def create(self, context: RequestContext, type_name: str, body: object) -> Artifact:
        """Draft an artifact.

        Raises:
            ArtifactTypeNotFound, ArtifactInvalid, ArtifactTypeInvalid: see `new_artifact`.
            ArtifactExists: the project has that name and version of the type.
            PolicyForbids, QuotaExceeded.
        """
        kind = self.types.find(context, type_name)
        now = self.clock.now()
        blank = Artifact(
            id=self.new_id(), type_name=kind.name, name="", version="", owner=context.project_id,
            created_at=now, updated_at=now,
        )  # fmt: skip
        artifact = new_artifact(kind, body, blank)
        self.access.policy.enforce(context, "add_artifact", target(artifact))
        if artifact.visibility is ArtifactVisibility.PUBLIC:
            raise ArtifactStateConflict("An artifact can become public once it is active")

        def work(tx: Transaction) -> None:
            self._check_room(tx, artifact)
            self._check_links(tx, context, artifact, kind)
            tx.artifacts.add(artifact, kind)
            self.events.record_artifact(tx, context, "artifact.create", artifact)

        self.unit_of_work.write(work)
        return artifact

    def get(self, context: RequestContext, type_name: str, artifact_id: str) -> Artifact:
        """The artifact. Raises as `ArtifactAccess.find`."""
        return self.unit_of_work.read(
            lambda tx: self.access.find(tx, context, type_name, artifact_id, "get_artifact"),
            brief=True,
        )

    def list_page(self, context: RequestContext, type_name: str, pairs: Pairs) -> ArtifactPage:
        """A page of the artifacts that a query string asks for.

        Raises:
            ArtifactTypeNotFound, ListQueryInvalid, PolicyForbids.
        """
        self.access.policy.enforce(context, "get_artifacts", {})
        kind = None if type_name == ANY else self.types.find(context, type_name)
        query = parse_artifact_query(
            pairs, kind, self.limits, context.project_id, is_admin=context.is_admin
        )
        return self.unit_of_work.read(lambda tx: tx.artifacts.list_page(query), brief=True)

    def update(
        self, context: RequestContext, type_name: str, artifact_id: str, patch: object
    ) -> Artifact:
        """Change an artifact by a JSON patch; a patch of `/status` moves it.

        Raises:
            ArtifactNotFound, PolicyForbids: see `ArtifactAccess.find`.
            PatchInvalid, PatchTestFailed, ArtifactFrozen, ArtifactInvalid, ArtifactTypeInvalid:
            see `patched`.
            ArtifactStateConflict, ArtifactIncomplete: see `move`.
        """
        doomed: Sequence[Doomed] = ()

        def work(tx: Transaction) -> Artifact:
            nonlocal doomed
            before = self.access.find(tx, context, type_name, artifact_id, "modify_artifact")
            kind = self.kind_of(tx, before)
            wanted = patched(kind, before, patch)
            after = wanted.artifact
            if wanted.status is ArtifactStatus.DELETED:
                doomed = self._remove(tx, context, before)
                return before
            if wanted.status is not None:
                after = self._move(tx, context, after, kind, wanted.status)
            self._check_visibility(context, before, after)
            if after.fields != before.fields:
                self._check_links(tx, context, after, kind)
            if after == before:
                return before
            after = structs.replace(after, updated_at=self.clock.now())
            kept = tx.artifacts.update(after, kind)
            moved = after.status is not before.status
            event = _DONE.get(after.status, "update") if moved else "update"
            self.events.record_artifact(tx, context, f"artifact.{event}", kept)
            return kept

        changed = self.unit_of_work.write(work)
        self.removal.remove_now(doomed)
        return changed

    def delete(self, context: RequestContext, type_name: str, artifact_id: str) -> None:
        """Remove an artifact and its bytes.

        Raises:
            ArtifactNotFound, PolicyForbids: see `ArtifactAccess.find`.
            ArtifactNeeded: other artifacts depend on it.
        """

        def work(tx: Transaction) -> Sequence[Doomed]:
            found = self.access.find(tx, context, type_name, artifact_id, "modify_artifact")
            return self._remove(tx, context, found)

        self.removal.remove_now(self.unit_of_work.write(work))

    def dependencies(
        self, context: RequestContext, type_name: str, artifact_id: str
    ) -> Mapping[str, Sequence[Artifact]]:
        """The artifacts that it links to, and that those link to, by the id of who links; itself
        first. What the caller may not know of is left out. Raises as `ArtifactAccess.find`."""

        def work(tx: Transaction) -> Mapping[str, Sequence[Artifact]]:
            first = self.access.find(tx, context, type_name, artifact_id, "get_artifact")
            found: dict[str, Sequence[Artifact]] = {}
            waiting = [first.id]
            while waiting and len(found) < DEEPEST:
                current = waiting.pop(0)
                if current in found:
                    continue
                below: list[Artifact] = []
                for each in tx.artifacts.dependencies(current):
                    try:
                        below.append(self.access.find(tx, context, ANY, each, "get_artifact"))
                    except ArtifactNotFound:
                        continue
                found[current] = below
                waiting += [each.id for each in below]
            return found

        return self.unit_of_work.read(work)

    def kind_of(self, tx: Transaction, artifact: Artifact) -> ArtifactType:
        """The type of an artifact, which may be one that its owner declared."""
        kind = self.types.standard.get(artifact.type_name)
        if kind is not None:
            return kind
        return next(
            each for each in tx.artifacts.types(artifact.owner) if each.name == artifact.type_name
        )

    def _move(
        self,
        tx: Transaction,
        context: RequestContext,
        artifact: Artifact,
        kind: ArtifactType,
        status: ArtifactStatus,
    ) -> Artifact:
        """The artifact in that status, if the caller may bring it there."""
        closed = ArtifactStatus.DEACTIVATED
        if status is not artifact.status and closed in (status, artifact.status):
            self.access.policy.enforce(context, "deactivate_artifact", target(artifact))
        moved = move(artifact, kind, status, self.clock.now())
        if status is ArtifactStatus.ACTIVE and artifact.status is not status:
            # What is active stays as it is, and so must everything that it is made of.
            for each in tx.artifacts.dependencies(artifact.id):
                if tx.artifacts.get(each).status is not ArtifactStatus.ACTIVE:
                    raise ArtifactIncomplete(
                        f"It depends on {each}, which is not active", dependency=each
                    )
        return moved

    def _check_visibility(self, context: RequestContext, before: Artifact, after: Artifact) -> None:
        if after.visibility is before.visibility:
            return
        self.access.policy.enforce(context, "publicize_artifact", target(after))
        if after.status is not ArtifactStatus.ACTIVE:
            raise ArtifactStateConflict("Only an artifact that is active can be public")

    def _check_room(self, tx: Transaction, artifact: Artifact) -> None:
        most = self.room.most
        if tx.artifacts.usage(artifact.owner, artifact.type_name).count >= most:
            raise QuotaExceeded(f"A project may have at most {most} artifacts of one type")

    def _check_links(
        self, tx: Transaction, context: RequestContext, artifact: Artifact, kind: ArtifactType
    ) -> None:
        """Each link leads to an artifact that the caller sees, of an allowed type, and not back."""
        links = links_of(artifact, kind)
        # In one order, so that two writers do not wait for each other.
        for field, wanted in sorted(links, key=lambda link: link[1]):
            try:
                other = self.access.find(tx, context, ANY, wanted, "get_artifact")
            except ArtifactNotFound:
                raise ArtifactInvalid(
                    f"{field} leads to {wanted[:64]}, which is no artifact", field=field
                ) from None
            types = kind.fields[field].types
            if types and other.type_name not in types:
                raise ArtifactInvalid(
                    f"{field} leads to {' or '.join(types)}, not to {other.type_name}", field=field
                )
        self._check_no_circle(tx, artifact.id, [wanted for _field, wanted in links])

    def _check_no_circle(self, tx: Transaction, start: str, links: Sequence[str]) -> None:
        seen: set[str] = set()
        waiting = list(links)
        while waiting:
            current = waiting.pop()
            if current == start:
                raise ArtifactInvalid("The links lead back to the artifact itself")
            if current not in seen:
                seen.add(current)
                waiting += tx.artifacts.dependencies(current)
            if len(seen) > DEEPEST:
                raise ArtifactInvalid(f"It would depend on more than {DEEPEST} artifacts")

    def _remove(
        self, tx: Transaction, context: RequestContext, artifact: Artifact
    ) -> Sequence[Doomed]:
        others = tx.artifacts.dependents(artifact.id)
        if others:
            raise ArtifactNeeded(
                f"{len(others)} artifacts depend on it, such as {others[0]}", dependents=others[:20]
            )
        now = self.clock.now()
        doomed = [
            Doomed(each.store, each.key, now)
            for each in artifact.blobs.values()
            if not each.external
        ]
        for each in doomed:
            tx.doomed.add(each)
        tx.artifacts.remove(artifact)
        deleted = structs.replace(artifact, status=ArtifactStatus.DELETED)
        self.events.record_artifact(tx, context, "artifact.delete", deleted)
        return doomed
