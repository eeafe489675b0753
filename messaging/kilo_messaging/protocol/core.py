"""One request and one answer, whatever carries them, and the dispatcher between the two.

A transport makes a `Request`; `Dispatcher.handle` decodes and checks it by the action's schema,
runs the action, and returns a `Response`. Errors are raised as `KiloError`; `faults` renders them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from kilo_common.context import RequestContext
from kilo_common.errors import KiloError
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
from kilo_messaging.service.rates import ProjectRates

T = TypeVar("T")
CLIENT_ID_LENGTHS = (10, 36)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for."""

    action: str
    context: RequestContext
    client_id: str | None
    token: str = ""
    """What the client proved itself by, for what is done in its name later; mostly empty."""
    params: Mapping[str, Any] | bytes = {}
    """Texts of a URL, or a JSON object."""
    document: bytes | None = None
    """A JSON document; None if there is none."""
    base: str = ""
    """The path that hrefs begin with, such as `/v2/queues`; empty where answers carry ids only."""
    ending: Ending = never
    """Whether the server is about to stop."""
    waits: bool = True
    """Whether the client's turn may be spent on waiting; else `WouldWait` is raised instead."""


class Response(msgspec.Struct, frozen=True):
    """What a client gets."""

    status: int
    body: bytes | None = None
    """JSON, or None for nothing."""
    location: str | None = None


class WouldWait(Exception):
    """There is nothing yet, and the client wants to wait for it, which the request does not allow.

    Nothing was done.
    """


Job = tuple[Request, Any, Any]
"""A request with its parameters and its document, decoded."""
Outcome = Response | Exception


@dataclass(frozen=True)
class Action:
    """One line of the action table."""

    params: type[Any]
    run: Callable[[Operations, Request, Any, Any], Response]
    document: type[Any] | None = None
    document_key: str | None = None
    """The key of a WebSocket body that holds what is the whole body in HTTP."""
    run_all: Callable[[Operations, Sequence[Job]], list[Outcome]] | None = None
    """Does several jobs in their order, where that costs less than one by one."""
    counts: bool = True
    """Whether it counts as one of the requests that a project may make in a second."""


class Dispatcher:
    """Runs actions by name."""

    def __init__(
        self,
        operations: Operations,
        actions: Mapping[str, Action],
        rates: ProjectRates | None = None,
    ) -> None:
        """Without `rates`, nobody counts what a project asks for."""
        self._operations = operations
        self._rates = rates
        self._actions = actions
        self._any_client_id = not operations.desk.limits.client_id_uuid

    def action(self, name: str) -> Action:
        """The action called `name`.

        Raises:
            ActionUnknown: there is none.
        """
        found = self.find(name)
        if found is None:
            raise ActionUnknown(f"There is no action {name[:64]!r}", action=name[:64])
        return found

    def find(self, name: str) -> Action | None:
        """The action called `name`, or None."""
        return self._actions.get(name)

    def handle(self, request: Request) -> Response:
        """Do what is asked.

        Raises:
            KiloError: it cannot be done; nothing was.
        """
        return self.action(request.action).run(self._operations, *self._decode(request))

    def handle_all(self, action: Action, requests: Sequence[Request]) -> list[Outcome]:
        """Do what several requests ask of one action that has `run_all`; an outcome for each."""
        assert action.run_all is not None, "only such actions are done together"
        decoded = [self._try_to_decode(request) for request in requests]
        jobs = [each for each in decoded if not isinstance(each, KiloError)]
        done = iter(action.run_all(self._operations, jobs))
        return [each if isinstance(each, KiloError) else next(done) for each in decoded]

    def _try_to_decode(self, request: Request) -> Job | KiloError:
        try:
            return self._decode(request)
        except KiloError as fault:
            return fault

    def _decode(self, request: Request) -> Job:
        action = self.action(request.action)
        if self._rates is not None and action.counts:
            self._rates.take(request.context.project_id or "")
        self.check_client_id(request.client_id)
        params = read_params(request.params, action.params)
        document = None
        if action.document is not None and request.document is not None:
            document = read_document(request.document, action.document)
        return request, params, document

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
