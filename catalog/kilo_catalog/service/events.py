"""Events: what happened to an image or its members, recorded where it happened."""

from collections.abc import Mapping
from typing import Any

import msgspec

from kilo_catalog.db.base import Event, Transaction
from kilo_catalog.domain.image import Image
from kilo_catalog.domain.member import Member
from kilo_catalog.domain.representation import represent, represent_member
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


_IMAGE_EVENTS = tuple(
    EventDeclaration(f"image.{what}", ImageEvent, summary)
    for what, summary in {
        "create": "An image was made; it has no data yet.",
        "update": "Its name, its tags or another property changed.",
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
EVENTS = _IMAGE_EVENTS + _MEMBER_EVENTS
DECLARATION = BusDeclaration(
    "catalog", "The image catalog.", publisher_id="image.HOST", events=EVENTS
)


class EventRecorder:
    """Writes events into the outbox. Each names the image's owner as its project."""

    def __init__(self, clock: Clock, new_id: IdSource) -> None:
        self._clock = clock
        self._new_id = new_id

    def record(
        self, transaction: Transaction, context: RequestContext, event_type: str, image: Image
    ) -> None:
        """Record that `event_type` happened to `image`, which is shown as it is now."""
        self._add(transaction, context, event_type, image, represent(image))

    def record_member(
        self,
        transaction: Transaction,
        context: RequestContext,
        event_type: str,
        image: Image,
        member: Member,
    ) -> None:
        """Record that `event_type` happened to a member of `image`."""
        self._add(transaction, context, event_type, image, represent_member(member))

    def _add(
        self,
        transaction: Transaction,
        context: RequestContext,
        event_type: str,
        image: Image,
        payload: Mapping[str, Any],
    ) -> None:
        transaction.outbox.add(
            Event(
                id=self._new_id(),
                event_type=event_type,
                payload=payload,
                context=context.to_dict() | {"project_id": image.owner},
                occurred_at=self._clock.now(),
            )
        )
