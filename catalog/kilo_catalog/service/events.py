"""Events: what happened to an image or its members, recorded where it happened."""

from collections.abc import Mapping
from typing import Any

from kilo_catalog.db.base import Event, Transaction
from kilo_catalog.domain.image import Image
from kilo_catalog.domain.member import Member
from kilo_catalog.domain.representation import represent, represent_member
from kilo_common.clock import Clock
from kilo_common.context import RequestContext
from kilo_common.ids import IdSource


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
