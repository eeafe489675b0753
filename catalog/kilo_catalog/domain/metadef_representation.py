"""Metadata definitions as the API shows them, in answers and in the payload of events."""

from typing import Any
from urllib.parse import quote

from kilo_catalog.domain.metadef import (
    Association,
    Item,
    MetadefObject,
    MetadefProperty,
    MetadefTag,
    Namespace,
    ResourceType,
)
from kilo_common.clock import iso8601

Document = dict[str, Any]
NAMESPACES = "/v2/metadefs/namespaces"


def represent_header(namespace: Namespace) -> Document:
    """A namespace as in a list: with its associations, without what else is in it."""
    shown: Document = {
        "namespace": namespace.name,
        "display_name": namespace.display_name,
        "description": namespace.description,
        "visibility": namespace.visibility.value,
        "protected": namespace.protected,
        "owner": namespace.owner,
        "self": path_of(namespace.name),
        "schema": "/v2/schemas/metadefs/namespace",
        **_times(namespace),
    }
    if namespace.associations:
        shown["resource_type_associations"] = [
            represent_association(each) for each in namespace.associations
        ]
    return _without_gaps(shown)


def represent_namespace(namespace: Namespace) -> Document:
    """A namespace with all that is in it."""
    shown = represent_header(namespace)
    if namespace.properties:
        shown["properties"] = {each.name: dict(each.schema) for each in namespace.properties}
    if namespace.objects:
        shown["objects"] = [represent_object(each, namespace) for each in namespace.objects]
    if namespace.tags:
        shown["tags"] = [{"name": each.name} for each in namespace.tags]
    return shown


def represent_association(association: Association) -> Document:
    """A type of resources that a namespace is for."""
    return _without_gaps(
        {
            "name": association.name,
            "prefix": association.prefix,
            "properties_target": association.properties_target,
            **_times(association),
        }
    )


def represent_resource_type(known: ResourceType) -> Document:
    """A type of resources."""
    return {"name": known.name, **_times(known)}


def represent_object(item: MetadefObject, namespace: Namespace) -> Document:
    """An object."""
    shown: Document = {
        "name": item.name,
        "description": item.description,
        "properties": dict(item.properties),
        "self": f"{path_of(namespace.name)}/objects/{quote(item.name)}",
        "schema": "/v2/schemas/metadefs/object",
        **_times(item),
    }
    if item.required:
        shown["required"] = list(item.required)
    return _without_gaps(shown)


def represent_property(item: MetadefProperty) -> Document:
    """A property: its definition, with its name beside."""
    return {**item.schema, "name": item.name}


def represent_tag(item: MetadefTag) -> Document:
    """A tag."""
    return {"name": item.name, **_times(item)}


def path_of(namespace: str) -> str:
    """The path of a namespace."""
    return f"{NAMESPACES}/{quote(namespace, safe=':')}"


def _times(item: Item) -> Document:
    return {"created_at": iso8601(item.created_at), "updated_at": iso8601(item.updated_at)}


def _without_gaps(shown: Document) -> Document:
    return {name: value for name, value in shown.items() if value is not None}
