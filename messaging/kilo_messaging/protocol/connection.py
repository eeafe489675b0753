"""What one WebSocket connection does with a frame: authenticate, subscribe, or run an action."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from kilo_common.context import RequestContext
from kilo_common.errors import KiloError, Unavailable
from kilo_common.http.auth import AuthStrategy, Identity
from kilo_common.http.status import status_of
from kilo_messaging.domain.connection_subscription import ConnectionSubscription
from kilo_messaging.domain.signed_url import HEADER, check_scope
from kilo_messaging.protocol import schemas
from kilo_messaging.protocol.core import (
    Action,
    Dispatcher,
    Outcome,
    Request,
    Response,
    read_document,
    read_params,
)
from kilo_messaging.protocol.faults import answer_body
from kilo_messaging.protocol.session import Form, Phase, Session, SessionRequest
from kilo_messaging.protocol.subscription_schemas import (
    OneSubscription,
    SubscriptionDocument,
    SubscriptionList,
)
from kilo_messaging.service.arrivals import Ending, never
from kilo_messaging.service.connection_subscriptions import ConnectionSubscriptions
from kilo_messaging.service.desk import Desk

SIGNED_ACTIONS: Mapping[str, tuple[str, str]] = {
    "message_post": ("POST", "messages"),
    "message_list": ("GET", "messages"),
    "message_get": ("GET", "messages"),
    "message_get_many": ("GET", "messages"),
    "message_delete": ("DELETE", "messages"),
    "message_delete_many": ("DELETE", "messages"),
    "claim_create": ("POST", "claims"),
    "claim_get": ("GET", "claims"),
    "claim_update": ("PATCH", "claims"),
    "claim_delete": ("DELETE", "claims"),
    "subscription_create": ("POST", "subscriptions"),
    "subscription_list": ("GET", "subscriptions"),
    "subscription_get": ("GET", "subscriptions"),
    "subscription_delete": ("DELETE", "subscriptions"),
}
"""What a signed URL can permit over WebSocket: the method and the path below the topic."""


class Turn(msgspec.Struct, frozen=True):
    """One request of a connection, and who sent it."""

    form: Form
    request: SessionRequest | None
    """None where none could be read."""
    work: Request | None = None
    together: Action | None = None
    """The action, if requests for it may be done together."""
    fault: KiloError | None = None
    """Why nothing can be done."""

    @property
    def asked(self) -> tuple[RequestContext, bytes]:
        """Who asks, and the body."""
        assert self.work is not None, "what could not be read is not run"
        assert isinstance(self.work.params, bytes)
        return self.work.context, self.work.params


Run = Callable[[Turn], Response]


class _Subscriber(msgspec.Struct, frozen=True):
    """Who made a subscription, and the headers that say so."""

    project_id: str | None
    user_id: str | None
    headers: Mapping[str, str]


class Connection:
    """One client's connection, without its socket."""

    def __init__(
        self,
        desk: Desk,
        dispatcher: Dispatcher,
        auth: AuthStrategy,
        session: Session,
        subscriptions: ConnectionSubscriptions,
        ending: Ending = never,
    ) -> None:
        """`ending` tells whether the server is about to stop."""
        self._desk = desk
        self._dispatcher = dispatcher
        self._auth = auth
        self._session = session
        self._subscriptions = subscriptions
        self._ending = ending
        self._subscribers: dict[str, _Subscriber] = {}
        self._caller: tuple[Identity | None, RequestContext] = None, RequestContext()
        self._own: Mapping[str, Run] = {
            "authenticate": self._authenticate,
            "subscription_create": self._subscribe,
            "subscription_list": self._list_subscriptions,
            "subscription_get": self._get_subscription,
            "subscription_delete": self._unsubscribe,
        }

    def begin(self, frame: bytes, form: Form) -> Turn:
        """Read a frame and find out who sends it; nothing is done yet."""
        request = None
        try:
            request = self._session.read(frame, form)
            return self._turn(request, form)
        except KiloError as error:
            return Turn(form, request, fault=error)

    def run(self, turn: Turn, *, waits: bool = True) -> bytes:
        """Do what was asked; the frame that answers it. An error is an answer too.

        Raises:
            WouldWait: the client wants to wait, and `waits` is False. Nothing was done.
        """
        try:
            return self.answer(turn, self._outcome(turn, waits=waits))
        except KiloError as error:
            return self.answer(turn, error)

    def run_all(self, action: Action, turns: Sequence[Turn]) -> list[bytes]:
        """Do what several asked of one action that has `run_all`, in their order."""
        requests = [turn.work for turn in turns if turn.work is not None]
        outcomes = self._dispatcher.handle_all(action, requests)
        return [self.answer(*pair) for pair in zip(turns, outcomes, strict=True)]

    def answer(self, turn: Turn, outcome: Outcome) -> bytes:
        """The frame that answers; what is no error of ours is raised."""
        if isinstance(outcome, Response):
            return self._session.answer(turn.request, turn.form, outcome.status, outcome.body)
        if not isinstance(outcome, KiloError):
            raise outcome
        body = msgspec.json.encode(answer_body(outcome))
        return self._session.answer(turn.request, turn.form, status_of(outcome).value, body)

    def is_known(self) -> bool:
        """Whether the credentials that this connection rests on are still good.

        They are those that it authenticated with, and those of its subscriptions. Where nobody can
        say, they are.
        """
        resting_on = [subscriber.headers for subscriber in self._live_subscribers()]
        if self._session.phase is Phase.AUTHENTICATED:
            resting_on.append(self._session.known)
        return all(
            is_known(self._auth, headers)
            for number, headers in enumerate(resting_on)
            if headers not in resting_on[:number]
        )

    def _live_subscribers(self) -> list[_Subscriber]:
        self._subscribers = {
            name: each for name, each in self._subscribers.items() if self._subscriptions.has(name)
        }
        return list(self._subscribers.values())

    def _turn(self, request: SessionRequest, form: Form) -> Turn:
        headers = self._session.headers_of(request)
        who = self._auth.authenticate(headers)
        body = bytes(request.body)
        if HEADER in headers:
            _check_signed(headers, request.action, body)
        context = self._context_of(who)
        action = self._dispatcher.find(request.action)
        work = Request(
            action=request.action,
            context=context,
            client_id=headers.get("client-id"),
            token=headers.get("x-auth-token", ""),
            params=body,
            document=_document(body, action.document_key) if action else None,
            ending=self._ending,
        )
        together = action if action is not None and action.run_all is not None else None
        return Turn(form, request, work, together)

    def _context_of(self, who: Identity) -> RequestContext:
        """The caller. Requests of the same one over one connection are one trace."""
        known, context = self._caller
        if known != who:
            context = RequestContext(
                project_id=who.project_id, user_id=who.user_id, roles=who.roles
            )
            self._caller = who, context
        return context

    def _outcome(self, turn: Turn, *, waits: bool) -> Response:
        if turn.fault is not None:
            raise turn.fault
        assert turn.request is not None
        assert turn.work is not None
        own = self._own.get(turn.request.action)
        if own is not None:
            self._dispatcher.check_client_id(turn.work.client_id)
            return own(turn)
        work = turn.work if waits else msgspec.structs.replace(turn.work, waits=False)
        return self._dispatcher.handle(work)

    def _authenticate(self, turn: Turn) -> Response:
        assert turn.request is not None
        self._session.remember(turn.request)
        context, _body = turn.asked
        headers = self._session.headers_of(turn.request)
        for name, each in self._subscribers.items():
            if (each.project_id, each.user_id) == (context.project_id, context.user_id):
                self._subscribers[name] = msgspec.structs.replace(each, headers=headers)
        return _answer(200, {"message": "Authentified."})

    def _subscribe(self, turn: Turn) -> Response:
        context, body = turn.asked
        params = read_params(body, schemas.TopicParameters)
        document = read_document(body, SubscriptionDocument)
        if document.subscriber:
            return self._kept(turn)
        assert turn.request is not None
        headers = self._session.headers_of(turn.request)
        if document.cursor is not None and HEADER in headers:
            # What was posted before is read, which to subscribe alone does not permit.
            _check_scope(headers, "GET", params.topic, "messages")
        made = self._subscriptions.create(context, params.topic, document.ttl, document.cursor)
        self._session.push_form = turn.form
        self._subscribers[made.id] = _Subscriber(context.project_id, context.user_id, headers)
        answer = {"message": f"Subscription {made.id} created.", "subscription_id": made.id}
        return _answer(201, answer | self._place(made))

    def _list_subscriptions(self, turn: Turn) -> Response:
        context, body = turn.asked
        params = read_params(body, SubscriptionList)
        own = self._subscriptions.page(context, params.topic) if not params.marker else []
        kept = msgspec.json.decode(self._kept(turn).body or b"{}")
        views = [self._view(each) for each in own] + kept["subscriptions"]
        return _answer(200, {"subscriptions": views})

    def _get_subscription(self, turn: Turn) -> Response:
        context, body = turn.asked
        params = read_params(body, OneSubscription)
        own = self._subscriptions.find(context, params.topic, params.subscription_id)
        return self._kept(turn) if own is None else _answer(200, self._view(own))

    def _unsubscribe(self, turn: Turn) -> Response:
        context, body = turn.asked
        params = read_params(body, OneSubscription)
        if self._subscriptions.find(context, params.topic, params.subscription_id) is None:
            return self._kept(turn)
        self._subscriptions.delete(context, params.topic, params.subscription_id)
        return Response(204)

    def _kept(self, turn: Turn) -> Response:
        """What is done for HTTP as well: with subscriptions that outlive the connection."""
        assert turn.work is not None
        return self._dispatcher.handle(turn.work)

    def _view(self, subscription: ConnectionSubscription) -> dict[str, Any]:
        return {
            "id": subscription.id,
            "source": subscription.key.name,
            "subscriber": None,
            "ttl": subscription.ttl,
            "age": subscription.age(self._desk.now()),
            "options": {},
            "confirmed": True,
            **self._place(subscription),
        }

    def _place(self, subscription: ConnectionSubscription) -> dict[str, str]:
        """How far a subscription is that follows its topic; nothing for others."""
        cursor = self._subscriptions.cursor(subscription.id)
        return {} if cursor is None else {"cursor": str(cursor)}


def is_known(auth: AuthStrategy, headers: Mapping[str, str]) -> bool:
    """Whether these credentials are still good; where nobody can say, they are."""
    try:
        auth.authenticate(headers)
    except Unavailable:
        return True
    except KiloError:
        return False
    return True


def _check_signed(headers: Mapping[str, str], action: str, body: bytes) -> None:
    """Return if the signed URL covers what the action is over HTTP.

    Raises:
        SignatureInvalid: it does not.
    """
    method, resource = SIGNED_ACTIONS.get(action, ("", ""))
    topic = read_params(body, schemas.TopicParameters).topic
    _check_scope(headers, method, topic, resource)


def _check_scope(headers: Mapping[str, str], method: str, topic: str, resource: str) -> None:
    paths = (f"/v2/{collection}/{topic}/{resource}" for collection in ("queues", "topics"))
    check_scope(headers, method, *paths)


def _answer(status: int, body: dict[str, Any]) -> Response:
    return Response(status, msgspec.json.encode(body))


def _document(body: bytes, key: str | None) -> bytes | None:
    """The part of a body that an action takes as its document; None if it is not there."""
    if key is None:
        return body
    found = read_document(body, dict[str, msgspec.Raw]).get(key)
    return None if found is None or bytes(found) == b"null" else bytes(found)
