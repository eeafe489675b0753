"""Artifacts, in the shapes of Glare's API v1: `/artifacts/TYPE/ID` and `/schemas`."""

from typing import Any

from flask import Blueprint, Response, request

from kilo_catalog.domain.artifact import Artifact, ArtifactBlob, ArtifactStatus
from kilo_catalog.domain.artifact_representation import (
    path_of,
    represent_artifact,
    represent_type,
)
from kilo_catalog.http.data_blocks import DataBlocks
from kilo_catalog.http.ranges import ByteRange, parse_range
from kilo_catalog.http.services import ApiServices
from kilo_catalog.http.wire import context, empty_response, json_body, json_response, page_links
from kilo_catalog.service.artifact_access import ANY
from kilo_common.http.body import BodyBlocks, declared_length

LOCATION = "application/vnd+openstack.glare-custom-location+json"
DEFAULT_TYPE = "application/octet-stream"


def blueprint(services: ApiServices) -> Blueprint:
    """The routes of artifacts and their types."""
    routes = Blueprint("artifacts", __name__)
    artifacts, types = services.artifacts, services.artifact_types
    body_size = services.limits.body_size

    @routes.get("/artifacts/<type_name>")
    def list_page(type_name: str) -> Response:
        pairs = list(request.args.items(multi=True))
        page = artifacts.list_page(context(), type_name, pairs)
        known = types.of(context(), page.artifacts)
        last = page.artifacts[-1].id if page.has_more else None
        found = [represent_artifact(each, known.get(each.type_name)) for each in page.artifacts]
        about: dict[str, Any] = {"artifact_type": type_name, "artifacts": found}
        if type_name != ANY:
            about |= {type_name: found, "schema": f"/schemas/{type_name}"}
            about["display_type_name"] = types.find(context(), type_name).display_name
        return json_response({**about, **page_links(f"/artifacts/{type_name}", pairs, last)})

    @routes.post("/artifacts/<type_name>")
    def create(type_name: str) -> Response:
        return _show(services, artifacts.create(context(), type_name, json_body(body_size)), 201)

    @routes.get("/artifacts/<type_name>/<artifact_id>")
    def get(type_name: str, artifact_id: str) -> Response:
        return _show(services, artifacts.get(context(), type_name, artifact_id))

    @routes.get("/artifacts/<type_name>/<artifact_id>/dependencies")
    def dependencies(type_name: str, artifact_id: str) -> Response:
        found = artifacts.dependencies(context(), type_name, artifact_id)
        known = types.visible(context())
        return json_response(
            {
                "dependencies": {
                    who: [represent_artifact(each, known.get(each.type_name)) for each in needed]
                    for who, needed in found.items()
                }
            }
        )

    @routes.patch("/artifacts/<type_name>/<artifact_id>")
    def change(type_name: str, artifact_id: str) -> Response:
        changed = artifacts.update(context(), type_name, artifact_id, json_body(body_size))
        if changed.status is ArtifactStatus.DELETED:
            return empty_response()
        return _show(services, changed)

    @routes.delete("/artifacts/<type_name>/<artifact_id>")
    def delete(type_name: str, artifact_id: str) -> Response:
        artifacts.delete(context(), type_name, artifact_id)
        return empty_response()

    _type_routes(routes, services)
    _blob_routes(routes, services)
    return routes


def _show(services: ApiServices, artifact: Artifact, status: int = 200) -> Response:
    """An artifact as the answer; with 201 its address too."""
    kind = services.artifact_types.of(context(), [artifact]).get(artifact.type_name)
    headers = {"Location": path_of(artifact)} if status == 201 else {}
    return json_response(represent_artifact(artifact, kind), status, headers)


def _type_routes(routes: Blueprint, services: ApiServices) -> None:
    types = services.artifact_types

    @routes.get("/schemas")
    def list_types() -> Response:
        found = types.visible(context())
        return json_response(
            {"schemas": {name: represent_type(found[name]) for name in sorted(found)}}
        )

    @routes.get("/schemas/<name>")
    def show_type(name: str) -> Response:
        return json_response({"schemas": {name: represent_type(types.find(context(), name))}})

    @routes.post("/schemas")
    def declare_type() -> Response:
        kind = types.declare(context(), json_body(services.limits.body_size))
        return json_response({"schemas": {kind.name: represent_type(kind)}}, 201)


def _blob_routes(routes: Blueprint, services: ApiServices) -> None:
    blobs = services.artifact_blobs

    @routes.put("/artifacts/<type_name>/<artifact_id>/<path:path>")
    def upload(type_name: str, artifact_id: str, path: str) -> Response:
        if request.mimetype == LOCATION:
            body = json_body(services.limits.body_size)
            return _show(services, blobs.link(context(), type_name, artifact_id, path, body))
        filled = blobs.upload(
            context(),
            type_name,
            artifact_id,
            path,
            BodyBlocks(request.environ, services.block_size),
            request.mimetype or DEFAULT_TYPE,
            declared_length(request.environ),
        )
        return _show(services, filled)

    @routes.delete("/artifacts/<type_name>/<artifact_id>/<path:path>")
    def unlink(type_name: str, artifact_id: str, path: str) -> Response:
        return _show(services, blobs.unlink(context(), type_name, artifact_id, path))

    @routes.get("/artifacts/<type_name>/<artifact_id>/<path:path>")
    def download(type_name: str, artifact_id: str, path: str) -> Response:
        blob = blobs.open(context(), type_name, artifact_id, path)
        if blob.external:
            return Response(status=302, headers={"Location": blob.url})
        return _serve(services, blob)


def _serve(services: ApiServices, blob: ArtifactBlob) -> Response:
    blobs = services.artifact_blobs
    size = blob.size or 0
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Type": blob.content_type,
        # A blob is anybody's: no browser may take it for a page of ours.
        "Content-Disposition": "attachment",
        "X-Content-Type-Options": "nosniff",
        "ETag": f'"{blob.sha256}"',
    }
    part = ByteRange(0, size)
    wanted = request.headers.get("Range")
    if wanted is not None:
        part = parse_range(wanted, size)
        headers["Content-Range"] = part.content_range(size)
    elif blob.md5:
        headers["Content-MD5"] = blob.md5
    headers["Content-Length"] = str(part.length)
    status = 206 if wanted is not None else 200
    if request.method == "HEAD":
        return Response(status=status, headers=headers)
    reader = blobs.read(blob, part.offset, part.length)
    body = DataBlocks(blobs.read_block, reader, services.block_size)
    return Response(body, status, headers, direct_passthrough=True)
