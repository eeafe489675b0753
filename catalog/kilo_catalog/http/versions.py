"""The versions document: what a client reads first."""

from flask import Blueprint, Response, request

from kilo_catalog.http.services import ApiServices
from kilo_catalog.http.wire import json_response

NEWEST_MINOR = 18


def blueprint(services: ApiServices) -> Blueprint:
    """`GET /` and `GET /versions`."""
    routes = Blueprint("versions", __name__)

    @routes.get("/")
    def choices() -> Response:
        return json_response(_document(services.public_url), 300)

    @routes.get("/versions")
    def versions() -> Response:
        return json_response(_document(services.public_url))

    return routes


def _document(public_url: str) -> dict[str, object]:
    base = (public_url or request.host_url).rstrip("/")
    return {
        "versions": [
            {
                "id": f"v2.{minor}",
                "status": "CURRENT" if minor == NEWEST_MINOR else "SUPPORTED",
                "links": [{"rel": "self", "href": f"{base}/v2/"}],
            }
            for minor in range(NEWEST_MINOR, -1, -1)
        ]
    }
