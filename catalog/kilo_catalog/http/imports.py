"""Staging and import of an image's data."""

from flask import Blueprint, Response, request

from kilo_catalog.errors import MediaTypeUnsupported
from kilo_catalog.http.image_data import DATA, declared_data
from kilo_catalog.http.services import ApiServices
from kilo_catalog.http.wire import context, empty_response, json_body
from kilo_common.http.body import BodyBlocks


def blueprint(services: ApiServices) -> Blueprint:
    """The routes of `/v2/images/ID/stage` and `/v2/images/ID/import`."""
    routes = Blueprint("imports", __name__)

    @routes.put("/v2/images/<image_id>/stage")
    def stage(image_id: str) -> Response:
        if request.mimetype != DATA:
            raise MediaTypeUnsupported(f"Image data must be sent as {DATA}")
        declared = declared_data(services.limits)
        blocks = BodyBlocks(request.environ, services.block_size)
        services.staging.stage(context(), image_id, blocks, declared)
        return empty_response()

    @routes.post("/v2/images/<image_id>/import")
    def begin(image_id: str) -> Response:
        store = request.headers.get("x-image-meta-store", "").strip() or None
        body = json_body(services.limits.body_size)
        services.imports.start(context(), image_id, body, store)
        response = Response(status=202)
        del response.headers["Content-Type"]
        return response

    return routes
