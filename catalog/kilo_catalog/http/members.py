"""The members of an image: list, add, show, set the status, remove."""

from flask import Blueprint, Response

from kilo_catalog.domain.representation import represent_member
from kilo_catalog.http.services import ApiServices
from kilo_catalog.http.wire import context, empty_response, json_body, json_response


def blueprint(services: ApiServices) -> Blueprint:
    """The routes of `/v2/images/ID/members`."""
    routes = Blueprint("members", __name__)
    members = services.members
    body_size = services.limits.body_size

    @routes.get("/v2/images/<image_id>/members")
    def list_all(image_id: str) -> Response:
        found = members.list(context(), image_id)
        return json_response(
            {
                "members": [represent_member(member) for member in found],
                "schema": "/v2/schemas/members",
            }
        )

    @routes.post("/v2/images/<image_id>/members")
    def add(image_id: str) -> Response:
        return json_response(
            represent_member(members.add(context(), image_id, json_body(body_size)))
        )

    @routes.get("/v2/images/<image_id>/members/<project_id>")
    def show(image_id: str, project_id: str) -> Response:
        return json_response(represent_member(members.get(context(), image_id, project_id)))

    @routes.put("/v2/images/<image_id>/members/<project_id>")
    def set_status(image_id: str, project_id: str) -> Response:
        body = json_body(body_size)
        return json_response(
            represent_member(members.set_status(context(), image_id, project_id, body))
        )

    @routes.delete("/v2/images/<image_id>/members/<project_id>")
    def remove(image_id: str, project_id: str) -> Response:
        members.remove(context(), image_id, project_id)
        return empty_response()

    return routes
