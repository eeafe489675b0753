"""Events: what happened to an image, recorded in the transaction that made it happen."""

import msgspec

from kilo_catalog.db.base import Event, Transaction
from kilo_catalog.domain.image import Image
from kilo_catalog.domain.representation import represent
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


EVENTS = tuple(
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
        about = context.to_dict() | {"project_id": image.owner}
        transaction.outbox.add(
            Event(
                id=self._new_id(),
                event_type=event_type,
                payload=represent(image),
                context=about,
                occurred_at=self._clock.now(),
            )
        )
