"""What an image's data was found to be: an extension of ours to the Image API."""

from typing import Any

from flask import Blueprint, Response

from kilo_catalog.domain.findings import Findings, describe
from kilo_catalog.domain.image import Image
from kilo_catalog.http.services import ApiServices
from kilo_catalog.http.wire import context, json_response


def blueprint(services: ApiServices) -> Blueprint:
    """The route of `/v2/images/ID/introspection`."""
    routes = Blueprint("introspection", __name__)

    @routes.get("/v2/images/<image_id>/introspection")
    def show(image_id: str) -> Response:
        return json_response(_document(*services.introspection.get(context(), image_id)))

    return routes


def _document(image: Image, findings: Findings) -> dict[str, Any]:
    return {
        "image_id": image.id,
        "summary": describe(findings, image.size),
        "declared": {
            "disk_format": image.disk_format,
            "container_format": image.container_format,
        },
        "format": findings.format,
        "size": image.size,
        "virtual_size": findings.virtual_size,
        "facts": findings.facts,
        "warnings": findings.warnings,
        "self": f"/v2/images/{image.id}/introspection",
        "image": f"/v2/images/{image.id}",
    }
