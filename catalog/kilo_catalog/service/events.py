"""Events: what happened to an image, its members or a metadata definition, recorded where it
happened."""

from collections.abc import Mapping
from typing import Any

import msgspec

from kilo_catalog.db.base import Event, Transaction
from kilo_catalog.domain.artifact import Artifact
from kilo_catalog.domain.image import Image
from kilo_catalog.domain.member import Member
from kilo_catalog.domain.metadef import Namespace
from kilo_catalog.domain.representation import (
    represent,
    represent_member,
    represent_task_briefly,
)
from kilo_catalog.domain.task import Task
from kilo_catalog.service.protections import PropertyProtections
from kilo_common.bus.declarations import BusDeclaration, EventDeclaration
from kilo_common.clock import Clock
from kilo_common.context import RequestContext
from kilo_common.ids import IdSource


class ImageEvent(msgspec.Struct, frozen=True):
    """The payload of an image's events: the image as the API shows it after what happened. Its
    properties stand beside these fields, each under its own name, as text."""

    id: str
    name: str | None
    status: str
    visibility: str
    owner: str | None
    protected: bool
    os_hidden: bool
    disk_format: str | None
    container_format: str | None
    size: int | None
    virtual_size: int | None
    min_disk: int
    min_ram: int
    checksum: str | None
    os_hash_algo: str | None
    os_hash_value: str | None
    created_at: str
    updated_at: str
    tags: list[str]
    self: str
    file: str
    schema: str
    stores: str | None = None
    """Where its data is, by commas; only once it has data."""


class MemberEvent(msgspec.Struct, frozen=True):
    """The payload of a member's events: the membership as the API shows it."""

    image_id: str
    member_id: str
    status: str
    created_at: str
    updated_at: str
    schema: str


class MetadefEvent(msgspec.Struct, frozen=True):
    """The payload of a metadata definition's events."""

    namespace: str
    """The namespace it happened to, or in; by its present name."""
    name: str | None
    """The object, property, tag or resource type it happened to; null: all of them, or the
    namespace itself."""
    owner: str | None
    visibility: str


class ArtifactEvent(msgspec.Struct, frozen=True):
    """The payload of an artifact's events."""

    id: str
    type_name: str
    name: str
    version: str
    status: str
    visibility: str
    owner: str | None


class TaskEvent(msgspec.Struct, frozen=True):
    """The payload of a task's events: the task as the API shows it."""

    id: str
    type: str
    status: str
    owner: str | None
    image_id: str | None
    request_id: str | None
    user_id: str | None
    created_at: str
    updated_at: str
    expires_at: str | None
    message: str
    progress: dict[str, Any]
    """`step`, `percent` of the whole task, `bytes` and `total` of the step."""
    self: str
    schema: str


_IMAGE_EVENTS = tuple(
    EventDeclaration(f"image.{what}", ImageEvent, summary)
    for what, summary in {
        "create": "An image was made; it has no data yet.",
        "update": "Its name, its tags or another property changed.",
        "prepare": "Its data was staged, or its import began.",
        "upload": "Its data was uploaded.",
        "activate": "It turned active: its data can be downloaded.",
        "deactivate": "Its data was closed to all but administrators.",
        "reactivate": "Its data can be downloaded again.",
        "delete": "It was deleted.",
    }.items()
)
_MEMBER_EVENTS = tuple(
    EventDeclaration(f"image.member.{what}", MemberEvent, summary)
    for what, summary in {
        "create": "The image was shared with a project.",
        "update": "The project accepted or rejected it, or took that back.",
        "delete": "It is shared with the project no more.",
    }.items()
)
_METADEF_EVENTS = tuple(
    EventDeclaration(f"metadef_{noun}.{what}", MetadefEvent, f"A metadata {noun} was {done}.")
    for noun, whats in {
        "namespace": ("create", "update", "delete"),
        "object": ("create", "update", "delete"),
        "property": ("create", "update", "delete"),
        "tag": ("create", "update", "delete"),
        "resource_type": ("create", "delete"),
    }.items()
    for what, done in (("create", "made"), ("update", "changed"), ("delete", "deleted"))
    if what in whats
)
_TASK_EVENTS = tuple(
    EventDeclaration(f"task.{what}", TaskEvent, summary)
    for what, summary in {
        "create": "A task was made; it waits for a worker.",
        "progress": "It came a step further, or some way within a step.",
        "success": "It did what it was to do.",
        "failure": "It failed or was cancelled; its message says why.",
    }.items()
)
_ARTIFACT_EVENTS = tuple(
    EventDeclaration(f"artifact.{what}", ArtifactEvent, summary)
    for what, summary in {
        "create": "An artifact was drafted.",
        "update": "One of its fields changed.",
        "upload": "Bytes were added to it.",
        "activate": "It turned active: it stays as it is, and may be used.",
        "deactivate": "It was closed to all but administrators.",
        "delete": "It was deleted.",
    }.items()
)
EVENTS = _IMAGE_EVENTS + _MEMBER_EVENTS + _METADEF_EVENTS + _TASK_EVENTS + _ARTIFACT_EVENTS
DECLARATION = BusDeclaration(
    "catalog", "The image catalog.", publisher_id="image.HOST", events=EVENTS
)


class EventRecorder:
    """Writes events into the outbox. Each names the thing's owner as its project."""

    def __init__(
        self, clock: Clock, new_id: IdSource, protections: PropertyProtections | None = None
    ) -> None:
        """`protections` keeps from the events what members of the owner's project do not see."""
        self._clock = clock
        self._new_id = new_id
        self._protections = protections

    def record(
        self, transaction: Transaction, context: RequestContext, event_type: str, image: Image
    ) -> None:
        """Record that `event_type` happened to `image`, which is shown as it is now."""
        shown = image if self._protections is None else self._protections.readable_to_owner(image)
        self._add(transaction, context, event_type, image.owner, represent(shown))

    def record_member(
        self,
        transaction: Transaction,
        context: RequestContext,
        event_type: str,
        image: Image,
        member: Member,
    ) -> None:
        """Record that `event_type` happened to a member of `image`."""
        self._add(transaction, context, event_type, image.owner, represent_member(member))

    def record_metadef(
        self,
        transaction: Transaction,
        context: RequestContext,
        event_type: str,
        namespace: Namespace,
        name: str | None = None,
    ) -> None:
        """Record that `event_type` happened to a namespace, or to what `name` says in it."""
        payload = {
            "namespace": namespace.name,
            "name": name,
            "owner": namespace.owner,
            "visibility": namespace.visibility.value,
        }
        self._add(transaction, context, event_type, namespace.owner, payload)

    def record_task(
        self, transaction: Transaction, context: RequestContext, event_type: str, task: Task
    ) -> None:
        """Record that `event_type` happened to `task`."""
        self._add(transaction, context, event_type, task.owner, represent_task_briefly(task))

    def record_artifact(
        self, transaction: Transaction, context: RequestContext, event_type: str, artifact: Artifact
    ) -> None:
        """Record that `event_type` happened to `artifact`."""
        payload = {
            "id": artifact.id,
            "type_name": artifact.type_name,
            "name": artifact.name,
            "version": artifact.version,
            "status": artifact.status.value,
            "visibility": artifact.visibility.value,
            "owner": artifact.owner,
        }
        self._add(transaction, context, event_type, artifact.owner, payload)

    def _add(
        self,
        transaction: Transaction,
        context: RequestContext,
        event_type: str,
        owner: str | None,
        payload: Mapping[str, Any],
    ) -> None:
        transaction.outbox.add(
            Event(
                id=self._new_id(),
                event_type=event_type,
                payload=payload,
                context=context.to_dict() | {"project_id": owner},
                occurred_at=self._clock.now(),
            )
        )
