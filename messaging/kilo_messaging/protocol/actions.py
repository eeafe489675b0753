"""The table of actions: each decodes nothing itself, calls one operation, and makes the answer."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET

from kilo_messaging.errors import BodyInvalid, ParameterInvalid
from kilo_messaging.protocol import schemas, views
from kilo_messaging.protocol.clock_actions import CLOCK_ACTIONS
from kilo_messaging.protocol.core import Action, Job, Outcome, Request, Response, WouldWait
from kilo_messaging.protocol.pool_actions import POOL_ACTIONS
from kilo_messaging.protocol.subscription_actions import SUBSCRIPTION_ACTIONS
from kilo_messaging.service.claims import HeldClaim
from kilo_messaging.service.messages import Draft, Order
from kilo_messaging.service.operations import Operations

Metadata = dict[str, Any]


def _ping(do: Operations, request: Request, _params: Any, _document: None) -> Response:
    do.health.ping(request.context)
    return Response(204)


def _health(do: Operations, request: Request, _params: Any, _document: None) -> Response:
    return Response(200, views.encode(do.health.health(request.context)))


def _list_topics(
    do: Operations, request: Request, params: schemas.TopicList, _document: None
) -> Response:
    called = views.list_key(request.base, request.action)
    as_queues = called == "queues"
    found = do.topics.page(
        request.context,
        marker=params.marker,
        limit=params.limit,
        name=params.name,
        metadata=params.filters,
        as_queues=as_queues,
    )
    items = [views.topic_view(each, request.base, detailed=params.detailed) for each in found]
    body: dict[str, Any] = {called: items}
    if request.base:
        body["links"] = _next_topics(request, params, found[-1].key.name) if found else []
    if params.with_count:
        body["count"] = do.topics.count(request.context, as_queues=as_queues)
    return Response(200, views.encode(body))


def _next_topics(request: Request, params: schemas.TopicList, last: str) -> list[views.Href]:
    query: dict[str, Any] = {
        "marker": last,
        "limit": params.limit,
        "detailed": params.detailed or None,
        "with_count": params.with_count or None,
        "name": params.name or None,
    }
    return views.next_link(request.base, query | params.filters)


def _create_topic(
    do: Operations, request: Request, params: schemas.TopicParameters, document: Metadata | None
) -> Response:
    made = do.topics.create(request.context, params.topic, document or {})
    location = f"{request.base}/{params.topic}" if request.base else None
    return Response(201 if made else 204, None, location)


def _get_topic(
    do: Operations, request: Request, params: schemas.TopicParameters, _document: None
) -> Response:
    return Response(200, views.encode(do.topics.get(request.context, params.topic)))


def _update_topic(
    do: Operations, request: Request, params: schemas.TopicParameters, document: list[Any] | None
) -> Response:
    if document is None:
        raise BodyInvalid("A JSON patch is expected: a list of changes")
    return Response(200, views.encode(do.topics.update(request.context, params.topic, document)))


def _delete_topic(
    do: Operations, request: Request, params: schemas.TopicParameters, _document: None
) -> Response:
    do.topics.delete(request.context, params.topic)
    return Response(204)


def _topic_stats(
    do: Operations, request: Request, params: schemas.TopicParameters, _document: None
) -> Response:
    stats = do.topics.stats(request.context, params.topic)
    view = views.stats_view(stats, request.base, params.topic, do.desk.now())
    return Response(200, views.encode(view))


def _purge_topic(
    do: Operations,
    request: Request,
    params: schemas.TopicParameters,
    document: schemas.PurgeDocument | None,
) -> Response:
    chosen = document.resource_types if document else UNSET
    if document and chosen is UNSET and request.base:
        raise BodyInvalid("resource_types is missing: messages, subscriptions, or both")
    if chosen is UNSET or "messages" in chosen:
        do.topics.purge(request.context, params.topic)
    if chosen is UNSET or "subscriptions" in chosen:
        do.subscriptions.purge(request.context, params.topic)
    return Response(204)


def _redrive_topic(
    do: Operations, request: Request, params: schemas.TopicParameters, _document: None
) -> Response:
    moved = do.messages.redrive(request.context, params.topic)
    return Response(200, views.encode({"redriven": moved}))


def _share_topic(
    do: Operations,
    request: Request,
    params: schemas.TopicParameters,
    document: schemas.ShareDocument | None,
) -> Response:
    wanted = document or schemas.ShareDocument()
    base = request.base or f"/v2/{views.list_key('', request.action)}"
    signed, signature = do.sharing.share(
        request.context,
        params.topic,
        base,
        paths=wanted.paths,
        methods=wanted.methods,
        expires=wanted.expires,
    )
    return Response(200, views.encode(views.share_view(signed, signature)))


def _post_messages(
    do: Operations,
    request: Request,
    params: schemas.TopicParameters,
    document: schemas.PostDocument | None,
) -> Response:
    (outcome,) = _post_all(do, [(request, params, document)])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _post_all(do: Operations, jobs: Sequence[Job]) -> list[Outcome]:
    orders = [_order(*job) for job in jobs if job[2] is not None]
    done = iter(do.messages.post_all(orders))
    return [
        _no_messages() if document is None else _posted(do, request, params, next(done))
        for request, params, document in jobs
    ]


def _no_messages() -> BodyInvalid:
    return BodyInvalid('A body is expected: {"messages": [{"body": …, "ttl": …}]}')


def _order(
    request: Request, params: schemas.TopicParameters, document: schemas.PostDocument
) -> Order:
    drafts = [_draft(each) for each in document.messages]
    size = len(request.document or b"")
    return Order(request.context, params.topic, drafts, _client_id(request), size)


def _posted(
    do: Operations, request: Request, params: schemas.TopicParameters, ids: list[str] | Exception
) -> Outcome:
    if isinstance(ids, Exception):
        return ids
    if not request.base:
        return Response(201, views.encode({"message_ids": ids}))
    resources = [views.message_href(request.base, params.topic, each, None) for each in ids]
    location = views.location_of_posted(request.base, params.topic, ids, do.desk.limits.page)
    return Response(201, views.encode({"resources": resources}), location)


def _draft(document: schemas.DraftDocument) -> Draft:
    attributes = views.encode(document.attributes) if document.attributes else None
    return Draft(
        bytes(document.body),
        document.ttl,
        document.delay,
        document.group,
        attributes,
        document.deduplication_id,
        document.priority,
    )


def _list_messages(
    do: Operations, request: Request, params: schemas.MessageList, _document: None
) -> Response:
    found = do.messages.page(
        request.context,
        params.topic,
        client_id=_client_id(request),
        limit=params.limit,
        after=params.marker,
        echo=params.echo,
        include_claimed=params.include_claimed,
        include_delayed=params.include_delayed,
        wait=_patience(do, request, params.wait),
        ending=request.ending,
    )
    if not found and params.wait and not request.waits:
        raise WouldWait
    items = views.message_views(found, request.base, params.topic, do.desk.now())
    body: dict[str, Any] = {"messages": items}
    if request.base:
        body["links"] = _next_messages(request, params, found[-1].position) if found else []
    elif found:
        body["marker"] = found[-1].position
    return Response(200, views.encode(body))


def _next_messages(request: Request, params: schemas.MessageList, last: int) -> list[views.Href]:
    query = {
        "marker": last,
        "limit": params.limit,
        "echo": params.echo,
        "include_claimed": params.include_claimed,
        "include_delayed": params.include_delayed,
        "wait": params.wait or None,
    }
    return views.next_link(f"{request.base}/{params.topic}/messages", query)


def _get_message(
    do: Operations, request: Request, params: schemas.OneMessage, _document: None
) -> Response:
    found = do.messages.get(request.context, params.topic, params.message_id)
    view = views.message_view(found, request.base, params.topic, do.desk.now())
    return Response(200, views.encode(view if request.base else {"messages": view}))


def _get_messages(
    do: Operations, request: Request, params: schemas.MessageIds, _document: None
) -> Response:
    found = do.messages.get_many(request.context, params.topic, params.chosen or [])
    items = views.message_views(found, request.base, params.topic, do.desk.now())
    return Response(200, views.encode({"messages": items}))


def _delete_message(
    do: Operations, request: Request, params: schemas.OneMessage, _document: None
) -> Response:
    do.messages.delete(request.context, params.topic, params.message_id, params.claim_id)
    return Response(204)


def _delete_messages(
    do: Operations, request: Request, params: schemas.MessageIds, _document: None
) -> Response:
    ids = params.chosen
    if (ids is None) == (params.pop is None):
        raise ParameterInvalid("Give either ids or pop: which messages, or how many")
    if ids is not None:
        do.messages.delete_many(request.context, params.topic, ids)
        return Response(204)
    popped = do.messages.pop(request.context, params.topic, params.pop or 0)
    now = do.desk.now()
    items = [views.popped_view(message, now) for message in popped]
    return Response(200, views.encode({"messages": items}))


def _create_claim(
    do: Operations,
    request: Request,
    params: schemas.ClaimLimit,
    document: schemas.ClaimDocument | None,
) -> Response:
    spans = document or schemas.ClaimDocument()
    held = do.claims.create(
        request.context,
        params.topic,
        ttl=spans.ttl,
        grace=spans.grace,
        limit=params.limit,
        wait=_patience(do, request, params.wait),
        ending=request.ending,
    )
    if held is None and params.wait and not request.waits:
        raise WouldWait
    if held is None:
        return Response(204)
    items = views.message_views(held.messages, request.base, params.topic, held.now)
    if not request.base:
        return Response(201, views.encode({"claim_id": held.claim.id, "messages": items}))
    return Response(201, views.encode({"messages": items}), _claim_href(request, params, held))


def _patience(do: Operations, request: Request, wait: int) -> int:
    """Seconds to wait here and now.

    Raises:
        LimitExceeded: longer than anybody may.
    """
    seconds = do.desk.wait_time(wait)
    return seconds if request.waits else 0


def _claim_href(request: Request, params: schemas.TopicParameters, held: HeldClaim) -> str:
    return f"{request.base}/{params.topic}/claims/{held.claim.id}"


def _get_claim(
    do: Operations, request: Request, params: schemas.OneClaim, _document: None
) -> Response:
    held = do.claims.get(request.context, params.topic, params.claim_id)
    body: dict[str, Any] = {
        "age": held.claim.age(held.now),
        "ttl": held.claim.ttl,
        "messages": views.message_views(held.messages, request.base, params.topic, held.now),
    }
    if request.base:
        body["href"] = _claim_href(request, params, held)
    else:
        body["claim_id"] = held.claim.id
    return Response(200, views.encode(body))


def _update_claim(
    do: Operations,
    request: Request,
    params: schemas.OneClaim,
    document: schemas.ClaimDocument | None,
) -> Response:
    spans = document or schemas.ClaimDocument()
    do.claims.update(
        request.context, params.topic, params.claim_id, ttl=spans.ttl, grace=spans.grace
    )
    return Response(204)


def _release_claim(
    do: Operations, request: Request, params: schemas.OneClaim, _document: None
) -> Response:
    do.claims.release(request.context, params.topic, params.claim_id)
    return Response(204)


def _client_id(request: Request) -> str:
    """The client's id in one form, so that dashes make no difference."""
    return (request.client_id or "").replace("-", "").lower()


_TOPIC = schemas.TopicParameters
_TOPIC_ACTIONS: Mapping[str, Action] = {
    "list": Action(schemas.TopicList, _list_topics),
    "create": Action(_TOPIC, _create_topic, Metadata, "metadata"),
    "get": Action(_TOPIC, _get_topic),
    "update": Action(_TOPIC, _update_topic, list[Any], "metadata"),
    "delete": Action(_TOPIC, _delete_topic),
    "get_stats": Action(_TOPIC, _topic_stats),
    "purge": Action(_TOPIC, _purge_topic, schemas.PurgeDocument),
    "share": Action(_TOPIC, _share_topic, schemas.ShareDocument),
    "redrive": Action(_TOPIC, _redrive_topic),
}
ACTIONS: Mapping[str, Action] = {
    **{f"queue_{name}": action for name, action in _TOPIC_ACTIONS.items()},
    **{f"topic_{name}": action for name, action in _TOPIC_ACTIONS.items()},
    "message_post": Action(_TOPIC, _post_messages, schemas.PostDocument, run_all=_post_all),
    "message_list": Action(schemas.MessageList, _list_messages),
    "message_get": Action(schemas.OneMessage, _get_message),
    "message_get_many": Action(schemas.MessageIds, _get_messages),
    "message_delete": Action(schemas.OneMessage, _delete_message),
    "message_delete_many": Action(schemas.MessageIds, _delete_messages),
    "claim_create": Action(schemas.ClaimLimit, _create_claim, schemas.ClaimDocument),
    "claim_get": Action(schemas.OneClaim, _get_claim),
    "claim_update": Action(schemas.OneClaim, _update_claim, schemas.ClaimDocument),
    "claim_delete": Action(schemas.OneClaim, _release_claim),
    **SUBSCRIPTION_ACTIONS,
    **POOL_ACTIONS,
    **CLOCK_ACTIONS,
    "ping_node": Action(schemas.NoParameters, _ping, counts=False),
    "check_node_health": Action(schemas.NoParameters, _health, counts=False),
}
"""Every action by the name it has over WebSocket; HTTP finds them by method and path."""
