"""What artifacts and their types look like: the shapes of Glare's API v1."""

from typing import Any
from urllib.parse import quote

from kilo_catalog.domain.artifact import Artifact, ArtifactBlob, ArtifactStatus, ArtifactVisibility
from kilo_catalog.domain.artifact_type import BLOBS, ArtifactType, Field, Kind
from kilo_common.clock import iso8601

_TYPES: dict[Kind, Any] = {
    Kind.TEXT: "string",
    Kind.INTEGER: "integer",
    Kind.NUMBER: "number",
    Kind.BOOLEAN: "boolean",
    Kind.LINK: "string",
    Kind.LIST: "array",
    Kind.LINKS: "array",
    Kind.MAP: "object",
    Kind.BLOB: "object",
    Kind.FOLDER: "object",
}
_GLARE_TYPES = {
    Kind.TEXT: "String", Kind.INTEGER: "Integer", Kind.NUMBER: "Float", Kind.BOOLEAN: "Boolean",
    Kind.LIST: "StringList", Kind.MAP: "StringDict", Kind.LINK: "Link", Kind.LINKS: "LinkList",
    Kind.BLOB: "Blob", Kind.FOLDER: "BlobDict",
}  # fmt: skip


def path_of(artifact: Artifact) -> str:
    """Where an artifact is."""
    return f"/artifacts/{artifact.type_name}/{artifact.id}"


def represent_artifact(artifact: Artifact, kind: ArtifactType | None) -> dict[str, Any]:
    """An artifact with all fields of its type; without the type, with those that are set."""
    view: dict[str, Any] = {}
    for name, field in ({} if kind is None else kind.fields).items():
        view[name] = _empty(field)
    view |= artifact.fields
    for path, blob in artifact.blobs.items():
        first, _slash, inside = path.partition("/")
        shown = _blob(artifact, path, blob)
        view[first] = {**(view.get(first) or {}), inside: shown} if inside else shown
    activated = artifact.activated_at
    return view | {
        "id": artifact.id,
        "type_name": artifact.type_name,
        "display_type_name": artifact.type_name if kind is None else kind.display_name,
        "name": artifact.name,
        "version": artifact.version,
        "owner": artifact.owner,
        "status": artifact.status.value,
        "visibility": artifact.visibility.value,
        "description": artifact.description,
        "tags": list(artifact.tags),
        "metadata": dict(artifact.metadata),
        "created_at": iso8601(artifact.created_at),
        "updated_at": iso8601(artifact.updated_at),
        "activated_at": None if activated is None else iso8601(activated),
    }


def _empty(field: Field) -> Any:
    match field.kind:
        case Kind.LIST | Kind.LINKS:
            return []
        case Kind.MAP | Kind.FOLDER:
            return {}
    return None


def _blob(artifact: Artifact, path: str, blob: ArtifactBlob) -> dict[str, Any]:
    return {
        "url": blob.url if blob.external else f"{path_of(artifact)}/{quote(path)}",
        "size": blob.size,
        "md5": blob.md5,
        "sha1": blob.sha1,
        "sha256": blob.sha256,
        "status": "active",
        "content_type": blob.content_type,
        "external": blob.external,
    }


def represent_type(kind: ArtifactType) -> dict[str, Any]:
    """The JSON Schema of a type."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "name": kind.name,
        "title": f"Artifact type {kind.name} of version {kind.version}",
        "description": kind.description,
        "version": kind.version,
        "type": "object",
        "required": ["name"],
        "properties": _COMMON | {name: _field(each) for name, each in kind.fields.items()},
    }


def _field(field: Field) -> dict[str, Any]:
    single = _TYPES[field.kind]
    found: dict[str, Any] = {
        "type": [single, "null"],
        "glareType": _GLARE_TYPES[field.kind],
        "description": field.description,
        "mutable": field.mutable,
        "required_on_activate": field.required_on_activate,
    }
    text: dict[str, Any] = {}
    if field.kind in (Kind.TEXT, Kind.LIST, Kind.MAP):
        text["maxLength"] = field.longest
        if field.choices:
            text["enum"] = list(field.choices)
        if field.pattern:
            text["pattern"] = f"^(?:{field.pattern})$"
    match field.kind:
        case Kind.TEXT:
            found |= text
            if "enum" in text:
                found["enum"] = [*text["enum"], None]
        case Kind.LIST | Kind.LINKS:
            found |= {"items": {"type": "string"} | text, "maxItems": field.most}
        case Kind.MAP:
            found |= {"additionalProperties": {"type": "string"} | text}
            found["maxProperties"] = field.most
        case Kind.INTEGER | Kind.NUMBER:
            bounds = {"minimum": field.least, "maximum": field.greatest}
            found |= {name: each for name, each in bounds.items() if each is not None}
    optional = {"unit": field.unit, "default": field.default, "link_types": list(field.types)}
    found |= {name: each for name, each in optional.items() if each not in ("", None, [])}
    if field.kind in BLOBS:
        found |= {"readOnly": True, "max_blob_size": field.max_size}
    elif field.filterable:
        ordered = field.kind in (Kind.INTEGER, Kind.NUMBER)
        found["filter_ops"] = ["eq", "neq", "in", *(_ORDERED if ordered else ["like"])]
    return found


_ORDERED = ["gt", "gte", "lt", "lte"]
_READ_ONLY = {"readOnly": True}
_TIME = {"type": ["string", "null"], "format": "date-time", "filter_ops": _ORDERED, **_READ_ONLY}
_COMMON: dict[str, Any] = {
    "id": {"type": "string", "format": "uuid", **_READ_ONLY},
    "name": {"type": "string", "minLength": 1, "maxLength": 255},
    "version": {"type": "string", "default": "0.0.0", "format": "semver"},
    "owner": {"type": ["string", "null"], **_READ_ONLY},
    "status": {"type": "string", "enum": [each.value for each in ArtifactStatus]},
    "visibility": {"type": "string", "enum": [each.value for each in ArtifactVisibility]},
    "description": {"type": "string", "maxLength": 4096, "mutable": True},
    "tags": {"type": "array", "items": {"type": "string", "maxLength": 255}, "mutable": True},
    "metadata": {
        "type": "object",
        "additionalProperties": {"type": "string", "maxLength": 4096},
        "mutable": True,
    },
    "created_at": _TIME,
    "updated_at": _TIME,
    "activated_at": _TIME,
}
