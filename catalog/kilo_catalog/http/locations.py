"""The copies of an image's data: list, add, remove from a store."""

from flask import Blueprint, Response

from kilo_catalog.http.services import ApiServices
from kilo_catalog.http.wire import context, empty_response, json_body, json_response


def blueprint(services: ApiServices) -> Blueprint:
    """The routes of `/v2/images/ID/locations` and `/v2/stores/STORE/ID`."""
    routes = Blueprint("locations", __name__)
    locations = services.locations

    @routes.get("/v2/images/<image_id>/locations")
    def list_all(image_id: str) -> Response:
        return json_response(locations.list(context(), image_id))

    @routes.post("/v2/images/<image_id>/locations")
    def add(image_id: str) -> Response:
        locations.add(context(), image_id, json_body(services.limits.body_size))
        response = Response(status=202)
        del response.headers["Content-Type"]
        return response

    @routes.delete("/v2/stores/<store>/<image_id>")
    def leave(store: str, image_id: str) -> Response:
        locations.leave_store(context(), store, image_id)
        return empty_response()

    return routes
