"""One request and one answer, whatever carries them, and the dispatcher between the two.

A transport makes a `Request`; `Dispatcher.handle` decodes and checks it by the action's schema,
runs the action, and returns a `Response`. Errors are raised as `KiloError`; `faults` renders them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from kilo_common.context import RequestContext
from kilo_common.ids import is_uuid
from kilo_messaging.errors import (
    ActionUnknown,
    BodyInvalid,
    ClientIdInvalid,
    ClientIdMissing,
    ParameterInvalid,
)
from kilo_messaging.service.arrivals import Ending, never
from kilo_messaging.service.operations import Operations

T = TypeVar("T")
CLIENT_ID_LENGTHS = (10, 36)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for."""

    action: str
    context: RequestContext
    client_id: str | None
    params: Mapping[str, Any] | bytes = {}
    """Texts of a URL, or a JSON object."""
    document: bytes | None = None
    """A JSON document; None if there is none."""
    base: str = ""
    """The path that hrefs begin with, such as `/v2/queues`; empty where answers carry ids only."""
    ending: Ending = never
    """Whether the server is about to stop."""


class Response(msgspec.Struct, frozen=True):
    """What a client gets."""

    status: int
    body: bytes | None = None
    """JSON, or None for nothing."""
    location: str | None = None


@dataclass(frozen=True)
class Action:
    """One line of the action table."""

    params: type[Any]
    run: Callable[[Operations, Request, Any, Any], Response]
    document: type[Any] | None = None
    document_key: str | None = None
    """The key of a WebSocket body that holds what is the whole body in HTTP."""


class Dispatcher:
    """Runs actions by name."""

    def __init__(self, operations: Operations, actions: Mapping[str, Action]) -> None:
        self._operations = operations
        self._actions = actions
        self._any_client_id = not operations.desk.limits.client_id_uuid

    def action(self, name: str) -> Action:
        """The action called `name`.

        Raises:
            ActionUnknown: there is none.
        """
        found = self._actions.get(name)
        if found is None:
            raise ActionUnknown(f"There is no action {name[:64]!r}", action=name[:64])
        return found

    def handle(self, request: Request) -> Response:
        """Do what is asked.

        Raises:
            KiloError: it cannot be done; nothing was.
        """
        action = self.action(request.action)
        self.check_client_id(request.client_id)
        params = read_params(request.params, action.params)
        document = None
        if action.document is not None and request.document is not None:
            document = read_document(request.document, action.document)
        return action.run(self._operations, request, params, document)

    def check_client_id(self, client_id: str | None) -> None:
        """Return if the client names itself as it must.

        Raises:
            ClientIdMissing, ClientIdInvalid: it does not.
        """
        if not client_id:
            raise ClientIdMissing(
                "The header Client-ID is required: a UUID that the client makes up and keeps"
            )
        shortest, longest = CLIENT_ID_LENGTHS
        if self._any_client_id:
            if not (shortest <= len(client_id) <= longest and client_id.isprintable()):
                raise ClientIdInvalid(
                    f"Client-ID must have {shortest} to {longest} characters", value=client_id[:64]
                )
        elif not (len(client_id) <= longest and is_uuid(client_id)):
            raise ClientIdInvalid("Client-ID must be a UUID", value=client_id[:64])


def read_params(params: Mapping[str, Any] | bytes, kind: type[T]) -> T:
    """The parameters, as the action takes them.

    Raises:
        ParameterInvalid: one is missing or does not fit.
    """
    try:
        if isinstance(params, bytes):
            return msgspec.json.decode(params, type=kind)
        return msgspec.convert(params, kind, strict=False)
    except (msgspec.DecodeError, RecursionError) as fault:
        raise ParameterInvalid(str(fault)) from None


def read_document(text: bytes, kind: type[T]) -> T:
    """The JSON document, as the action takes it.

    Raises:
        BodyInvalid: it is not JSON in UTF-8, or of another shape.
    """
    try:
        text.decode()  # what is kept as raw JSON is not looked into, but must be text
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise BodyInvalid(f"The body cannot be read: {fault}") from None
