"""Namespaces of metadata definitions, and the types of resources they are for."""

from flask import Blueprint, Response, request

from kilo_catalog.domain.metadef_representation import (
    NAMESPACES,
    path_of,
    represent_header,
    represent_namespace,
    represent_resource_type,
)
from kilo_catalog.http.services import ApiServices
from kilo_catalog.http.wire import (
    context,
    empty_response,
    json_body,
    json_response,
    page_links,
)


def blueprint(services: ApiServices) -> Blueprint:
    """The routes of `/v2/metadefs/namespaces` and `/v2/metadefs/resource_types`."""
    routes = Blueprint("metadefs", __name__)
    metadefs = services.metadefs
    body_size = services.limits.body_size

    @routes.get("/v2/metadefs/resource_types")
    def list_resource_types() -> Response:
        found = metadefs.resource_types(context())
        return json_response({"resource_types": [represent_resource_type(each) for each in found]})

    @routes.get("/v2/metadefs/namespaces")
    def list_page() -> Response:
        pairs = list(request.args.items(multi=True))
        page = metadefs.list_page(context(), pairs)
        last = page.namespaces[-1].name if page.has_more else None
        return json_response(
            {
                "namespaces": [represent_header(each) for each in page.namespaces],
                "schema": "/v2/schemas/metadefs/namespaces",
                **page_links(NAMESPACES, pairs, last),
            }
        )

    @routes.post("/v2/metadefs/namespaces")
    def create() -> Response:
        made = metadefs.create(context(), json_body(body_size))
        base = (services.public_url or request.host_url).rstrip("/")
        return json_response(
            represent_namespace(made), 201, {"Location": base + path_of(made.name)}
        )

    @routes.get("/v2/metadefs/namespaces/<namespace>")
    def show(namespace: str) -> Response:
        resource_type = request.args.get("resource_type")
        return json_response(represent_namespace(metadefs.get(context(), namespace, resource_type)))

    @routes.put("/v2/metadefs/namespaces/<namespace>")
    def change(namespace: str) -> Response:
        changed = metadefs.update(context(), namespace, json_body(body_size))
        return json_response(represent_header(changed))

    @routes.delete("/v2/metadefs/namespaces/<namespace>")
    def delete(namespace: str) -> Response:
        metadefs.delete(context(), namespace)
        return empty_response()

    return routes
