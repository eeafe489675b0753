"""The actions on pools and flavors, and on where topics lie."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from kilo_messaging.domain.pool import Flavor, Pool
from kilo_messaging.errors import BodyInvalid
from kilo_messaging.protocol import views
from kilo_messaging.protocol.core import Action, Request, Response
from kilo_messaging.protocol.schemas import Text, TopicParameters
from kilo_messaging.service.operations import Operations
from kilo_messaging.service.pools import PoolChanges

CAPABILITIES = ("FIFO", "CLAIMS", "DURABILITY", "AOD", "HIGH_THROUGHPUT")
"""What clients know of flavors: every store here can do all of it."""
Name = Annotated[str, Meta(max_length=256)]


class PoolList(Struct, frozen=True, kw_only=True):
    marker: Text = ""
    limit: int | None = None
    detailed: bool = False


class OnePool(Struct, frozen=True, kw_only=True):
    pool_name: Name


class OneFlavor(Struct, frozen=True, kw_only=True):
    flavor_name: Name


class PoolDocument(Struct, frozen=True, kw_only=True):
    uri: Annotated[str, Meta(min_length=1, max_length=2048)] | None = None
    weight: int | None = None
    flavor: Name | None = None
    options: dict[str, Any] | None = None


class FlavorDocument(Struct, frozen=True, kw_only=True):
    pool_list: Annotated[list[Name], Meta(max_length=1000)]


class PlacementParameters(TopicParameters, frozen=True, kw_only=True):
    project_id: Text | None = None


class PlacementDocument(Struct, frozen=True, kw_only=True):
    pool: Name


def _list_pools(do: Operations, request: Request, params: PoolList, _document: None) -> Response:
    found = do.pools.pools(request.context, marker=params.marker, limit=params.limit)
    items = [_pool_view(each, detailed=params.detailed) for each in found]
    return _page("pools", items, params, found)


def _get_pool(do: Operations, request: Request, params: OnePool, _document: None) -> Response:
    found = do.pools.pool(request.context, params.pool_name)
    return Response(200, views.encode(_pool_view(found, detailed=True)))


def _put_pool(
    do: Operations, request: Request, params: OnePool, document: PoolDocument | None
) -> Response:
    new = do.pools.put_pool(request.context, params.pool_name, _changes(document))
    return Response(201 if new else 204, None, f"/v2/pools/{params.pool_name}")


def _update_pool(
    do: Operations, request: Request, params: OnePool, document: PoolDocument | None
) -> Response:
    kept = do.pools.update_pool(request.context, params.pool_name, _changes(document))
    return Response(200, views.encode(_pool_view(kept, detailed=True)))


def _drop_pool(do: Operations, request: Request, params: OnePool, _document: None) -> Response:
    do.pools.drop_pool(request.context, params.pool_name)
    return Response(204)


def _list_flavors(do: Operations, request: Request, params: PoolList, _document: None) -> Response:
    found = do.pools.flavors(request.context, marker=params.marker, limit=params.limit)
    items = [_flavor_view(each, detailed=params.detailed) for each in found]
    return _page("flavors", items, params, found)


def _get_flavor(do: Operations, request: Request, params: OneFlavor, _document: None) -> Response:
    found = do.pools.flavor(request.context, params.flavor_name)
    return Response(200, views.encode(_flavor_view(found, detailed=True)))


def _put_flavor(
    do: Operations, request: Request, params: OneFlavor, document: FlavorDocument | None
) -> Response:
    new = do.pools.put_flavor(request.context, params.flavor_name, _pool_list(document))
    return Response(201 if new else 204, None, f"/v2/flavors/{params.flavor_name}")


def _update_flavor(
    do: Operations, request: Request, params: OneFlavor, document: FlavorDocument | None
) -> Response:
    kept = do.pools.update_flavor(request.context, params.flavor_name, _pool_list(document))
    return Response(200, views.encode(_flavor_view(kept, detailed=True)))


def _drop_flavor(do: Operations, request: Request, params: OneFlavor, _document: None) -> Response:
    do.pools.drop_flavor(request.context, params.flavor_name)
    return Response(204)


def _placement(
    do: Operations, request: Request, params: PlacementParameters, _document: None
) -> Response:
    pool = do.pools.placement(request.context, params.topic, params.project_id)
    return Response(200, views.encode({"pool": pool}))


def _move(
    do: Operations,
    request: Request,
    params: PlacementParameters,
    document: PlacementDocument | None,
) -> Response:
    if document is None:
        raise BodyInvalid('Send {"pool": "NAME"}: where the topic is to lie')
    moved = do.pools.move(request.context, params.topic, document.pool, params.project_id)
    return Response(200, views.encode(moved))


def _changes(document: PoolDocument | None) -> PoolChanges:
    if document is None:
        raise BodyInvalid(
            'Send {"uri": …, "weight": …}, with a flavor and options if there are any'
        )
    return PoolChanges(
        uri=document.uri,
        weight=document.weight,
        flavor=document.flavor,
        options=document.options,
    )


def _pool_list(document: FlavorDocument | None) -> Sequence[str]:
    if document is None:
        raise BodyInvalid('Send {"pool_list": [names of pools]}')
    return document.pool_list


def _pool_view(pool: Pool, *, detailed: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "href": f"/v2/pools/{pool.name}",
        "name": pool.name,
        "weight": pool.weight,
        "uri": pool.shown_uri,
        "flavor": pool.flavor,
    }
    return shown | ({"options": pool.options} if detailed else {})


def _flavor_view(flavor: Flavor, *, detailed: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "href": f"/v2/flavors/{flavor.name}",
        "name": flavor.name,
        "pool_list": flavor.pool_list,
    }
    return shown | ({"capabilities": CAPABILITIES} if detailed else {})


def _page(
    called: str, items: list[dict[str, Any]], params: PoolList, found: Sequence[Pool | Flavor]
) -> Response:
    query = {"limit": params.limit, "detailed": params.detailed or None}
    links = views.next_link(f"/v2/{called}", {"marker": found[-1].name} | query) if found else []
    return Response(200, views.encode({called: items, "links": links}))


POOL_ACTIONS: Mapping[str, Action] = {
    "pool_list": Action(PoolList, _list_pools),
    "pool_get": Action(OnePool, _get_pool),
    "pool_create": Action(OnePool, _put_pool, PoolDocument),
    "pool_update": Action(OnePool, _update_pool, PoolDocument),
    "pool_delete": Action(OnePool, _drop_pool),
    "flavor_list": Action(PoolList, _list_flavors),
    "flavor_get": Action(OneFlavor, _get_flavor),
    "flavor_create": Action(OneFlavor, _put_flavor, FlavorDocument),
    "flavor_update": Action(OneFlavor, _update_flavor, FlavorDocument),
    "flavor_delete": Action(OneFlavor, _drop_flavor),
    "topic_placement": Action(PlacementParameters, _placement),
    "topic_move": Action(PlacementParameters, _move, PlacementDocument),
}
