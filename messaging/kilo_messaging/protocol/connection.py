"""What one WebSocket connection does with a frame: authenticate, subscribe, or run an action."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from kilo_common.context import RequestContext
from kilo_common.errors import KiloError
from kilo_common.http.auth import AuthStrategy
from kilo_common.http.status import status_of
from kilo_messaging.domain.connection_subscription import ConnectionSubscription
from kilo_messaging.domain.signed_url import HEADER, check_scope
from kilo_messaging.protocol import schemas
from kilo_messaging.protocol.core import Dispatcher, Request, Response, read_document, read_params
from kilo_messaging.protocol.faults import answer_body
from kilo_messaging.protocol.session import Form, Session, SessionRequest
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
Run = Callable[[SessionRequest, RequestContext, Form], Response]


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
        self._own: Mapping[str, Run] = {
            "authenticate": self._authenticate,
            "subscription_create": self._subscribe,
            "subscription_list": self._list_subscriptions,
            "subscription_get": self._get_subscription,
            "subscription_delete": self._unsubscribe,
        }

    def handle(self, frame: bytes, form: Form) -> bytes:
        """The frame that answers `frame`; an error is an answer too."""
        request = None
        try:
            request = self._session.read(frame, form)
            response = self._run(request, form)
        except KiloError as error:
            body = msgspec.json.encode(answer_body(error))
            return self._session.answer(request, form, status_of(error).value, body)
        return self._session.answer(request, form, response.status, response.body)

    def _run(self, request: SessionRequest, form: Form) -> Response:
        headers = self._session.headers_of(request)
        who = self._auth.authenticate(headers)
        body = bytes(request.body)
        if HEADER in headers:
            _check_signed(headers, request.action, body)
        context = RequestContext(project_id=who.project_id, user_id=who.user_id, roles=who.roles)
        own = self._own.get(request.action)
        if own is not None:
            self._dispatcher.check_client_id(headers.get("client-id"))
            return own(request, context, form)
        return self._dispatch(request, context)

    def _dispatch(self, request: SessionRequest, context: RequestContext) -> Response:
        """What is done for HTTP as well."""
        body = bytes(request.body)
        action = self._dispatcher.action(request.action)
        return self._dispatcher.handle(
            Request(
                action=request.action,
                context=context,
                client_id=self._session.headers_of(request).get("client-id"),
                params=body,
                document=_document(body, action.document_key),
                ending=self._ending,
            )
        )

    def _authenticate(
        self, request: SessionRequest, _context: RequestContext, _form: Form
    ) -> Response:
        self._session.remember(request)
        return _answer(200, {"message": "Authentified."})

    def _subscribe(self, request: SessionRequest, context: RequestContext, form: Form) -> Response:
        body = bytes(request.body)
        params = read_params(body, schemas.TopicParameters)
        document = read_document(body, SubscriptionDocument)
        if document.subscriber:
            return self._dispatch(request, context)
        made = self._subscriptions.create(context, params.topic, document.ttl)
        self._session.push_form = form
        return _answer(
            201,
            {"message": f"Subscription {made.id} created.", "subscription_id": made.id},
        )

    def _list_subscriptions(
        self, request: SessionRequest, context: RequestContext, _form: Form
    ) -> Response:
        params = read_params(bytes(request.body), SubscriptionList)
        own = self._subscriptions.page(context, params.topic) if not params.marker else []
        kept = msgspec.json.decode(self._dispatch(request, context).body or b"{}")
        views = [self._view(each) for each in own] + kept["subscriptions"]
        return _answer(200, {"subscriptions": views})

    def _get_subscription(
        self, request: SessionRequest, context: RequestContext, _form: Form
    ) -> Response:
        params = read_params(bytes(request.body), OneSubscription)
        own = self._subscriptions.find(context, params.topic, params.subscription_id)
        return self._dispatch(request, context) if own is None else _answer(200, self._view(own))

    def _unsubscribe(
        self, request: SessionRequest, context: RequestContext, _form: Form
    ) -> Response:
        params = read_params(bytes(request.body), OneSubscription)
        if self._subscriptions.find(context, params.topic, params.subscription_id) is None:
            return self._dispatch(request, context)
        self._subscriptions.delete(context, params.topic, params.subscription_id)
        return Response(204)

    def _view(self, subscription: ConnectionSubscription) -> dict[str, Any]:
        return {
            "id": subscription.id,
            "source": subscription.key.name,
            "subscriber": None,
            "ttl": subscription.ttl,
            "age": subscription.age(self._desk.now()),
            "options": {},
            "confirmed": True,
        }


def _check_signed(headers: Mapping[str, str], action: str, body: bytes) -> None:
    """Return if the signed URL covers what the action is over HTTP.

    Raises:
        SignatureInvalid: it does not.
    """
    method, resource = SIGNED_ACTIONS.get(action, ("", ""))
    topic = read_params(body, schemas.TopicParameters).topic
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
