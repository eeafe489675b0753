"""What is in a namespace of metadata definitions: objects, properties, tags, resource types."""

from typing import Any

from flask import Blueprint, Response, request

from kilo_catalog.domain.metadef import Namespace
from kilo_catalog.domain.metadef_query import parse_items, take_page
from kilo_catalog.domain.metadef_representation import (
    path_of,
    represent_association,
    represent_object,
    represent_property,
    represent_tag,
)
from kilo_catalog.http.services import ApiServices
from kilo_catalog.http.wire import (
    context,
    empty_response,
    json_body,
    json_response,
    page_links,
)
from kilo_catalog.service.metadef_items import ASSOCIATIONS, OBJECTS, PROPERTIES, TAGS

_BASE = "/v2/metadefs/namespaces/<namespace>"
_YES = frozenset({"1", "t", "true", "on", "y", "yes"})


def blueprint(services: ApiServices) -> Blueprint:
    """The routes of what is in a namespace."""
    routes = Blueprint("metadef_items", __name__)
    _objects(routes, services)
    _properties(routes, services)
    _tags(routes, services)
    _resource_types(routes, services)
    return routes


def _objects(routes: Blueprint, services: ApiServices) -> None:
    items, body_size = services.metadef_items, services.limits.body_size

    @routes.get(f"{_BASE}/objects")
    def list_objects(namespace: str) -> Response:
        found, objects = items.list(context(), namespace, OBJECTS)
        return _page(found, "objects", objects, lambda each: represent_object(each, found))

    @routes.post(f"{_BASE}/objects")
    def add_object(namespace: str) -> Response:
        found, made = items.add(context(), namespace, OBJECTS, json_body(body_size))
        return json_response(represent_object(made, found), 201)

    @routes.delete(f"{_BASE}/objects")
    def clear_objects(namespace: str) -> Response:
        items.clear(context(), namespace, OBJECTS)
        return empty_response()

    @routes.get(f"{_BASE}/objects/<path:name>")
    def show_object(namespace: str, name: str) -> Response:
        found, one = items.get(context(), namespace, OBJECTS, name)
        return json_response(represent_object(one, found))

    @routes.put(f"{_BASE}/objects/<path:name>")
    def change_object(namespace: str, name: str) -> Response:
        found, one = items.replace(context(), namespace, OBJECTS, name, json_body(body_size))
        return json_response(represent_object(one, found))

    @routes.delete(f"{_BASE}/objects/<path:name>")
    def remove_object(namespace: str, name: str) -> Response:
        items.remove(context(), namespace, OBJECTS, name)
        return empty_response()


def _properties(routes: Blueprint, services: ApiServices) -> None:
    items, body_size = services.metadef_items, services.limits.body_size

    @routes.get(f"{_BASE}/properties")
    def list_properties(namespace: str) -> Response:
        _found, properties = items.list(context(), namespace, PROPERTIES)
        shown = {each.name: represent_property(each) for each in properties}
        return json_response({"properties": shown})

    @routes.post(f"{_BASE}/properties")
    def add_property(namespace: str) -> Response:
        _found, made = items.add(context(), namespace, PROPERTIES, json_body(body_size))
        return json_response(represent_property(made), 201)

    @routes.delete(f"{_BASE}/properties")
    def clear_properties(namespace: str) -> Response:
        items.clear(context(), namespace, PROPERTIES)
        return empty_response()

    @routes.get(f"{_BASE}/properties/<path:name>")
    def show_property(namespace: str, name: str) -> Response:
        resource_type = request.args.get("resource_type")
        if resource_type:
            one = items.get_property_on(context(), namespace, name, resource_type)
        else:
            _found, one = items.get(context(), namespace, PROPERTIES, name)
        return json_response(represent_property(one))

    @routes.put(f"{_BASE}/properties/<path:name>")
    def change_property(namespace: str, name: str) -> Response:
        _found, one = items.replace(context(), namespace, PROPERTIES, name, json_body(body_size))
        return json_response(represent_property(one))

    @routes.delete(f"{_BASE}/properties/<path:name>")
    def remove_property(namespace: str, name: str) -> Response:
        items.remove(context(), namespace, PROPERTIES, name)
        return empty_response()


def _tags(routes: Blueprint, services: ApiServices) -> None:
    items, body_size = services.metadef_items, services.limits.body_size

    @routes.get(f"{_BASE}/tags")
    def list_tags(namespace: str) -> Response:
        found, tags = items.list(context(), namespace, TAGS)
        return _page(found, "tags", tags, lambda each: {"name": each.name})

    @routes.post(f"{_BASE}/tags")
    def set_tags(namespace: str) -> Response:
        append = request.headers.get("X-OpenStack-Append", "").strip().lower() in _YES
        made = items.set_tags(context(), namespace, json_body(body_size), append=append)
        return json_response({"tags": [{"name": each.name} for each in made]}, 201)

    @routes.delete(f"{_BASE}/tags")
    def clear_tags(namespace: str) -> Response:
        items.clear(context(), namespace, TAGS)
        return empty_response()

    @routes.get(f"{_BASE}/tags/<path:name>")
    def show_tag(namespace: str, name: str) -> Response:
        _found, one = items.get(context(), namespace, TAGS, name)
        return json_response(represent_tag(one))

    @routes.post(f"{_BASE}/tags/<path:name>")
    def add_tag(namespace: str, name: str) -> Response:
        _found, made = items.add(context(), namespace, TAGS, {}, name)
        return json_response(represent_tag(made), 201)

    @routes.put(f"{_BASE}/tags/<path:name>")
    def change_tag(namespace: str, name: str) -> Response:
        _found, one = items.replace(context(), namespace, TAGS, name, json_body(body_size))
        return json_response(represent_tag(one))

    @routes.delete(f"{_BASE}/tags/<path:name>")
    def remove_tag(namespace: str, name: str) -> Response:
        items.remove(context(), namespace, TAGS, name)
        return empty_response()


def _resource_types(routes: Blueprint, services: ApiServices) -> None:
    items, body_size = services.metadef_items, services.limits.body_size

    @routes.get(f"{_BASE}/resource_types")
    def list_associations(namespace: str) -> Response:
        _found, associations = items.list(context(), namespace, ASSOCIATIONS)
        shown = [represent_association(each) for each in associations]
        return json_response({"resource_type_associations": shown})

    @routes.post(f"{_BASE}/resource_types")
    def associate(namespace: str) -> Response:
        _found, made = items.add(context(), namespace, ASSOCIATIONS, json_body(body_size))
        return json_response(represent_association(made), 201)

    @routes.delete(f"{_BASE}/resource_types/<path:name>")
    def dissociate(namespace: str, name: str) -> Response:
        items.remove(context(), namespace, ASSOCIATIONS, name)
        return empty_response()


def _page(namespace: Namespace, what: str, items: Any, represent: Any) -> Response:
    """A page of objects or tags, as the query string asks for it."""
    pairs = list(request.args.items(multi=True))
    page, has_more = take_page(items, parse_items(pairs))
    path = f"{path_of(namespace.name)}/{what}"
    return json_response(
        {
            what: [represent(each) for each in page],
            "schema": f"/v2/schemas/metadefs/{what}",
            **page_links(path, pairs, page[-1].name if has_more else None),
        }
    )
