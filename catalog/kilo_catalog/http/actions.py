"""Actions on an image: deactivate, reactivate, convert."""

from flask import Blueprint, Response

from kilo_catalog.domain.representation import represent_task
from kilo_catalog.http.services import ApiServices
from kilo_catalog.http.wire import context, empty_response, json_body, json_response


def blueprint(services: ApiServices) -> Blueprint:
    """The routes of `/v2/images/ID/actions`."""
    routes = Blueprint("actions", __name__)

    @routes.post("/v2/images/<image_id>/actions/deactivate")
    def deactivate(image_id: str) -> Response:
        services.images.deactivate(context(), image_id)
        return empty_response()

    @routes.post("/v2/images/<image_id>/actions/reactivate")
    def reactivate(image_id: str) -> Response:
        services.images.reactivate(context(), image_id)
        return empty_response()

    @routes.post("/v2/images/<image_id>/actions/convert")
    def convert(image_id: str) -> Response:
        body = json_body(services.limits.body_size)
        task = services.conversions.start(context(), image_id, body)
        return json_response(represent_task(task), 202)

    return routes
