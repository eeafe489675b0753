"""The actions on the clock of a stack for tests."""

from collections.abc import Mapping

from msgspec import Struct

from kilo_messaging.errors import BodyInvalid
from kilo_messaging.protocol import views
from kilo_messaging.protocol.core import Action, Request, Response
from kilo_messaging.protocol.schemas import NoParameters
from kilo_messaging.service.operations import Operations


class AdvanceDocument(Struct, frozen=True):
    advance: float
    """Seconds."""


def _now(do: Operations, request: Request, _params: NoParameters, _document: None) -> Response:
    return Response(200, views.encode({"now": do.clock.now(request.context)}))


def _advance(
    do: Operations, request: Request, _params: NoParameters, document: AdvanceDocument | None
) -> Response:
    if document is None:
        raise BodyInvalid('Send {"advance": SECONDS}')
    now = do.clock.advance(request.context, document.advance)
    return Response(200, views.encode({"now": now}))


CLOCK_ACTIONS: Mapping[str, Action] = {
    "test_clock_get": Action(NoParameters, _now),
    "test_clock_advance": Action(NoParameters, _advance, AdvanceDocument),
}
