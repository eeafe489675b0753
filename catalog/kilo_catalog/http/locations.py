"""The copies of an image's data: remove one from a store."""

from flask import Blueprint, Response

from kilo_catalog.http.services import ApiServices
from kilo_catalog.http.wire import context, empty_response


def blueprint(services: ApiServices) -> Blueprint:
    """The routes of `/v2/stores/STORE/ID`."""
    routes = Blueprint("locations", __name__)

    @routes.delete("/v2/stores/<store>/<image_id>")
    def leave(store: str, image_id: str) -> Response:
        services.locations.leave_store(context(), store, image_id)
        return empty_response()

    return routes
