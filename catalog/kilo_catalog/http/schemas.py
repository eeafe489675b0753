"""JSON schemas of what the API shows. glanceclient builds its command line from them."""

from typing import Any

from flask import Blueprint, Response

from kilo_catalog.domain.attributes import GREATEST_INT, READ_ONLY
from kilo_catalog.domain.image import (
    CONTAINER_FORMATS,
    DISK_FORMATS,
    ImageStatus,
    Visibility,
)
from kilo_catalog.domain.limits import Limits
from kilo_catalog.domain.location_bodies import LONGEST_URL
from kilo_catalog.domain.member import PROJECT_LENGTH, MemberStatus
from kilo_catalog.errors import SchemaNotFound
from kilo_catalog.http.metadef_schemas import metadef_schemas
from kilo_catalog.http.services import ApiServices
from kilo_catalog.http.task_schemas import task_schema, tasks_schema
from kilo_catalog.http.wire import json_response

Schema = dict[str, Any]
_UUID = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"


def blueprint(services: ApiServices) -> Blueprint:
    """The routes of `/v2/schemas`."""
    routes = Blueprint("schemas", __name__)
    image = image_schema(services.limits)
    member = member_schema()
    task = task_schema()
    schemas = {
        "image": image,
        "images": images_schema(image),
        "member": member,
        "members": members_schema(member),
        "task": task,
        "tasks": tasks_schema(task),
    }

    definitions = metadef_schemas()

    @routes.get("/v2/schemas/metadefs/<name>")
    def show_metadef(name: str) -> Response:
        if name not in definitions:
            raise SchemaNotFound(f"There is no schema metadefs/{name[:64]!r}", name=name[:64])
        return json_response(definitions[name])

    @routes.get("/v2/schemas/<name>")
    def show(name: str) -> Response:
        if name not in schemas:
            raise SchemaNotFound(f"There is no schema {name[:64]!r}", name=name[:64])
        return json_response(schemas[name])

    return routes


def image_schema(limits: Limits) -> Schema:
    """One image."""
    properties = {**_settable(limits), **_computed()}
    for name in READ_ONLY & properties.keys():
        properties[name]["readOnly"] = True
    return {
        "name": "image",
        "properties": properties,
        "additionalProperties": {"type": "string"},
        "links": [
            {"rel": "self", "href": "{self}"},
            {"rel": "enclosure", "href": "{file}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }


def images_schema(image: Schema) -> Schema:
    """A page of images."""
    return {
        "name": "images",
        "properties": {
            "images": {"type": "array", "items": image},
            "first": {"type": "string"},
            "next": {"type": "string"},
            "schema": {"type": "string"},
        },
        "links": [
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }


def member_schema() -> Schema:
    """One member of an image."""
    statuses = [each.value for each in MemberStatus]
    return {
        "name": "member",
        "properties": {
            "member_id": _of(
                "string", "An identifier for the image member", maxLength=PROJECT_LENGTH
            ),
            "image_id": _of("string", "An identifier for the image", pattern=_UUID),
            "created_at": _of("string", "Date and time of image member creation"),
            "updated_at": _of("string", "Date and time of last modification of image member"),
            "status": _of("string", "The status of this image member", enum=statuses),
            "schema": _of("string", "An image member schema url", readOnly=True),
        },
    }


def members_schema(member: Schema) -> Schema:
    """The members of an image."""
    return {
        "name": "members",
        "properties": {
            "members": {"type": "array", "items": member},
            "schema": {"type": "string"},
        },
        "links": [{"rel": "describedby", "href": "{schema}"}],
    }


def _settable(limits: Limits) -> Schema:
    length = limits.name_length
    whole = {"type": "integer", "minimum": 0, "maximum": GREATEST_INT}
    return {
        "id": _of("string", "An identifier for the image", pattern=_UUID),
        "name": _maybe("Descriptive name for the image", maxLength=length),
        "owner": _maybe("Owner of the image", maxLength=255),
        "visibility": _of(
            "string", "Scope of image accessibility", enum=[each.value for each in Visibility]
        ),
        "protected": _of("boolean", "If true, image will not be deletable."),
        "os_hidden": _of("boolean", "If true, image will not appear in default image list."),
        "disk_format": _maybe("Format of the disk", enum=[None, *sorted(DISK_FORMATS)]),
        "container_format": _maybe(
            "Format of the container", enum=[None, *sorted(CONTAINER_FORMATS)]
        ),
        "min_disk": {**whole, "description": "Disk space (in GB) required to boot image."},
        "min_ram": {**whole, "description": "Amount of ram (in MB) required to boot image."},
        "tags": {
            "type": "array",
            "items": {"type": "string", "maxLength": length},
            "description": "List of strings related to the image",
        },
    }


def _computed() -> Schema:
    statuses = [each.value for each in ImageStatus]
    return {
        "status": _of("string", "Status of the image", enum=statuses),
        "size": {"type": ["null", "integer"], "description": "Size of image file in bytes"},
        "virtual_size": {
            "type": ["null", "integer"],
            "description": "Virtual size of image in bytes",
        },
        "checksum": _maybe("md5 hash of image contents.", maxLength=32),
        "os_hash_algo": _maybe("Algorithm to calculate os_hash_value", maxLength=64),
        "os_hash_value": _maybe("Hexdigest of the image contents", maxLength=128),
        "created_at": _of("string", "Date and time of image registration"),
        "updated_at": _of("string", "Date and time of the last image modification"),
        "direct_url": _of("string", "URL to access the image file kept in external store"),
        "locations": {
            "type": "array",
            "description": "A set of URLs to access the image file kept in external store",
            "items": {
                "type": "object",
                "properties": {
                    "url": {"type": "string", "maxLength": LONGEST_URL},
                    "metadata": {"type": "object"},
                    "validation_data": {
                        "type": "object",
                        "writeOnly": True,
                        "properties": {
                            "checksum": {"type": "string"},
                            "os_hash_algo": {"type": "string"},
                            "os_hash_value": {"type": "string"},
                        },
                    },
                },
                "required": ["url", "metadata"],
            },
        },
        "stores": _of("string", "Stores in which the image data resides"),
        "self": _of("string", "An image self url"),
        "file": _of("string", "An image file url"),
        "schema": _of("string", "An image schema url"),
    }


def _of(kind: str, description: str, **rest: Any) -> Schema:
    return {"type": kind, "description": description, **rest}


def _maybe(description: str, **rest: Any) -> Schema:
    return {"type": ["null", "string"], "description": description, **rest}
