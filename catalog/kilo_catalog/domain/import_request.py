"""What an import is asked to do: read from the body of a request, and from a task's record."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from msgspec import Struct

from kilo_catalog.domain.attributes import is_uuid
from kilo_catalog.domain.task import Task
from kilo_catalog.errors import ImportInvalid

IMPORT_TASK = "api_image_import"
"""The type of tasks that `POST /v2/images/ID/import` makes."""
ADMIN_TASK = "import"
"""The type of those that `POST /v2/tasks` makes."""
INTERFACES = ("public", "internal", "admin")
_LONGEST_URI = 2048


class ImportMethod(Enum):
    """Where the data comes from."""

    GLANCE_DIRECT = "glance-direct"
    """From the staging store."""
    WEB_DOWNLOAD = "web-download"
    """From a URL."""
    COPY_IMAGE = "copy-image"
    """From another store of the same image."""
    GLANCE_DOWNLOAD = "glance-download"
    """From an image of another catalog."""
    LOCATION = "location"
    """From where it is, and it stays there."""


class ImportRequest(Struct, frozen=True, kw_only=True):
    """The body of an import."""

    method: ImportMethod
    uri: str = ""
    region: str = ""
    """The other catalog, by its name in the configuration."""
    remote_id: str = ""
    """The image there."""
    hash_value: str = ""
    """The sha512 that data at a location must have; empty: any."""
    checksum: str = ""
    """Its md5."""
    interface: str = "public"
    """Which of its endpoints, where the other side's service catalog is asked."""
    stores: tuple[str, ...] = ()
    all_stores: bool = False
    must_succeed: bool = True
    """Whether one store that fails fails the import."""
    convert_to: str = ""
    """The disk format that the data is to have; empty: as the configuration says."""


class ImportPlan(Struct, frozen=True):
    """What an import's task is to do."""

    request: ImportRequest
    stores: tuple[str, ...]


def parse_import(body: object) -> ImportRequest:
    """The body of an import.

    Raises:
        ImportInvalid: it is malformed; the sentence says where.
    """
    if not isinstance(body, dict):
        raise ImportInvalid("The body of an import must be a JSON object")
    method = body.get("method")
    if not isinstance(method, dict) or not isinstance(method.get("name"), str):
        raise ImportInvalid('An import names its method like this: {"method": {"name": "…"}}')
    known = {each.value: each for each in ImportMethod}
    if method["name"] not in known:
        raise ImportInvalid(
            f"Unknown import method {method['name'][:64]!r}; methods are: {', '.join(known)}"
        )
    request = ImportRequest(
        method=known[method["name"]],
        uri=_text(method, "uri"),
        hash_value=_text(method, "os_hash_value").lower(),
        checksum=_text(method, "checksum").lower(),
        region=_text(method, "glance_region"),
        remote_id=_text(method, "glance_image_id"),
        interface=_text(method, "glance_service_interface") or "public",
        stores=_stores(body.get("stores")),
        all_stores=_flag(body, "all_stores", default=False),
        must_succeed=_flag(body, "all_stores_must_succeed", default=True),
        convert_to=_text(body, "convert_to"),
    )
    _check_complete(request)
    return request


def _check_complete(request: ImportRequest) -> None:
    if request.method is ImportMethod.WEB_DOWNLOAD and not request.uri:
        raise ImportInvalid("web-download needs the URL to read from, as method.uri")
    if request.method is ImportMethod.LOCATION and (
        not request.uri or request.stores or request.all_stores or request.convert_to
    ):
        raise ImportInvalid(
            "location needs the URL of the data, as method.uri, and no stores or conversion"
        )
    if request.method is ImportMethod.GLANCE_DOWNLOAD and not (
        request.region and request.remote_id
    ):
        raise ImportInvalid("glance-download needs method.glance_region and method.glance_image_id")
    if request.remote_id and not is_uuid(request.remote_id):
        raise ImportInvalid("method.glance_image_id must be a UUID", attribute="glance_image_id")
    if request.interface not in INTERFACES:
        raise ImportInvalid(
            f"method.glance_service_interface must be one of {', '.join(INTERFACES)}",
            attribute="glance_service_interface",
        )
    if request.all_stores and request.stores:
        raise ImportInvalid("Name stores, or ask for all_stores; not both")
    if request.method is ImportMethod.COPY_IMAGE and not (request.all_stores or request.stores):
        raise ImportInvalid("copy-image needs the stores to copy to: stores, or all_stores")


def plan_of(task: Task) -> ImportPlan:
    """What the task of an import is to do.

    Raises:
        ImportInvalid: its record says nothing that this release understands.
    """
    given: Mapping[str, Any] = task.input
    if task.type == ADMIN_TASK:
        uri = str(given.get("import_from", ""))
        request = ImportRequest(method=ImportMethod.WEB_DOWNLOAD, uri=uri)
    else:
        request = parse_import(given.get("import_req"))
    return ImportPlan(request, tuple(given.get("backend", ())))


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name, "")
    if not isinstance(value, str) or len(value) > _LONGEST_URI or "\0" in value:
        raise ImportInvalid(
            f"{name} must be text of at most {_LONGEST_URI} characters", attribute=name
        )
    return value.strip()


def _stores(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise ImportInvalid("stores must be a list of names of stores")
    return tuple(dict.fromkeys(value))


def _flag(body: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise ImportInvalid(f"{name} must be true or false", attribute=name)
    return value
