"""The actions on subscriptions that are kept; those of a connection are `protocol.connection`'s."""

from collections.abc import Mapping
from typing import Any

from kilo_messaging.errors import BodyInvalid
from kilo_messaging.protocol import subscription_views as shown
from kilo_messaging.protocol import views
from kilo_messaging.protocol.core import Action, Request, Response
from kilo_messaging.protocol.schemas import TopicParameters
from kilo_messaging.protocol.subscription_schemas import (
    ConfirmDocument,
    DeliveryList,
    KeyDocument,
    LogPage,
    OneSubscription,
    RedeliverDocument,
    SubscriptionChange,
    SubscriptionDocument,
    SubscriptionList,
)
from kilo_messaging.service.operations import Operations
from kilo_messaging.service.subscriptions import Changes


def create_subscription(
    do: Operations,
    request: Request,
    params: TopicParameters,
    document: SubscriptionDocument | None,
) -> Response:
    """Subscribe somebody who is not this connection."""
    if document is None or not document.subscriber:
        raise BodyInvalid("A subscription needs a subscriber: a URI")
    if document.cursor is not None:
        raise BodyInvalid("Only a WebSocket connection's own subscription begins at a cursor")
    made = do.subscriptions.create(
        request.context,
        params.topic,
        subscriber=document.subscriber,
        ttl=document.ttl,
        options=document.options,
        token=request.token,
    )
    body: dict[str, Any] = {"subscription_id": made.id}
    if not shown.is_queue(request.base):
        body["secret"] = made.signing_keys[0].secret
    location = f"{request.base}/{params.topic}/subscriptions/{made.id}" if request.base else None
    return Response(201, views.encode(body), location)


def list_subscriptions(
    do: Operations, request: Request, params: SubscriptionList, _document: None
) -> Response:
    """A page of a topic's subscriptions."""
    found = do.subscriptions.page(
        request.context, params.topic, marker=params.marker, limit=params.limit
    )
    now = do.desk.now()
    body: dict[str, Any] = {
        "subscriptions": [shown.subscription_view(each, request.base, now) for each in found]
    }
    if request.base:
        path = f"{request.base}/{params.topic}/subscriptions"
        query = {"marker": found[-1].id, "limit": params.limit} if found else {}
        body["links"] = views.next_link(path, query) if found else []
    return Response(200, views.encode(body))


def get_subscription(
    do: Operations, request: Request, params: OneSubscription, _document: None
) -> Response:
    """One subscription."""
    found = do.subscriptions.get(request.context, params.topic, params.subscription_id)
    return Response(200, views.encode(shown.subscription_view(found, request.base, do.desk.now())))


def _update(
    do: Operations, request: Request, params: OneSubscription, document: SubscriptionChange | None
) -> Response:
    if document is None or document.is_empty:
        raise BodyInvalid("Nothing to change: name a subscriber, a ttl, options or a state")
    do.subscriptions.update(
        request.context,
        params.topic,
        params.subscription_id,
        Changes(
            subscriber=document.subscriber,
            ttl=document.ttl,
            options=document.options,
            state=document.state,
        ),
        token=request.token,
    )
    return Response(204)


def delete_subscription(
    do: Operations, request: Request, params: OneSubscription, _document: None
) -> Response:
    """Remove a subscription."""
    do.subscriptions.delete(
        request.context, params.topic, params.subscription_id, token=request.token
    )
    return Response(204)


def _confirm(
    do: Operations, request: Request, params: OneSubscription, document: ConfirmDocument | None
) -> Response:
    if document is None:
        raise BodyInvalid('Send {"confirmed": true} or {"confirmed": false}')
    do.subscriptions.confirm(
        request.context, params.topic, params.subscription_id, confirmed=document.confirmed
    )
    return Response(204)


def _rotate_key(
    do: Operations, request: Request, params: OneSubscription, document: KeyDocument | None
) -> Response:
    wanted = document or KeyDocument()
    kept = do.subscriptions.rotate_key(
        request.context,
        params.topic,
        params.subscription_id,
        secret=wanted.secret,
        keep_old=wanted.keep_old,
    )
    return Response(200, views.encode({"secret": kept.signing_keys[0].secret}))


def _attempts(do: Operations, request: Request, params: LogPage, _document: None) -> Response:
    found = do.subscriptions.attempts(
        request.context,
        params.topic,
        params.subscription_id,
        before=params.marker,
        limit=params.limit,
    )
    body: dict[str, Any] = {"attempts": [shown.attempt_view(each) for each in found]}
    if request.base:
        path = f"{request.base}/{params.topic}/subscriptions/{params.subscription_id}/attempts"
        query = {"marker": found[-1].position, "limit": params.limit} if found else {}
        body["links"] = views.next_link(path, query) if found else []
    return Response(200, views.encode(body))


def _pending(do: Operations, request: Request, params: DeliveryList, _document: None) -> Response:
    found = do.subscriptions.pending(
        request.context,
        params.topic,
        params.subscription_id,
        failed=params.failed,
        after=params.marker,
        limit=params.limit,
    )
    body: dict[str, Any] = {"deliveries": [shown.delivery_view(each) for each in found]}
    if request.base:
        path = f"{request.base}/{params.topic}/subscriptions/{params.subscription_id}/deliveries"
        query: dict[str, Any] = {"limit": params.limit, "failed": params.failed or None}
        link = views.next_link(path, query | {"marker": found[-1].position}) if found else []
        body["links"] = link
    return Response(200, views.encode(body))


def _redeliver(
    do: Operations, request: Request, params: OneSubscription, document: RedeliverDocument | None
) -> Response:
    wanted = document or RedeliverDocument()
    count = do.subscriptions.redeliver(
        request.context,
        params.topic,
        params.subscription_id,
        positions=wanted.deliveries,
        since=wanted.moment,
    )
    return Response(200, views.encode({"redelivering": count}))


SUBSCRIPTION_ACTIONS: Mapping[str, Action] = {
    "subscription_create": Action(TopicParameters, create_subscription, SubscriptionDocument),
    "subscription_list": Action(SubscriptionList, list_subscriptions),
    "subscription_get": Action(OneSubscription, get_subscription),
    "subscription_update": Action(OneSubscription, _update, SubscriptionChange),
    "subscription_delete": Action(OneSubscription, delete_subscription),
    "subscription_confirm": Action(OneSubscription, _confirm, ConfirmDocument),
    "subscription_rotate_key": Action(OneSubscription, _rotate_key, KeyDocument),
    "subscription_attempts": Action(LogPage, _attempts),
    "subscription_deliveries": Action(DeliveryList, _pending),
    "subscription_redeliver": Action(OneSubscription, _redeliver, RedeliverDocument),
}
