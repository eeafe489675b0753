"""Events: what happened to an image, recorded in the transaction that made it happen."""

from kilo_catalog.db.base import Event, Transaction
from kilo_catalog.domain.image import Image
from kilo_catalog.domain.representation import represent
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
