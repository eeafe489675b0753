"""Single tags of an image."""

from flask import Blueprint, Response

from kilo_catalog.http.services import ApiServices
from kilo_catalog.http.wire import context, empty_response


def blueprint(services: ApiServices) -> Blueprint:
    """The routes of `/v2/images/ID/tags/TAG`."""
    routes = Blueprint("tags", __name__)

    @routes.put("/v2/images/<image_id>/tags/<path:tag>")
    def put(image_id: str, tag: str) -> Response:
        services.tags.put(context(), image_id, tag)
        return empty_response()

    @routes.delete("/v2/images/<image_id>/tags/<path:tag>")
    def remove(image_id: str, tag: str) -> Response:
        services.tags.remove(context(), image_id, tag)
        return empty_response()

    return routes
