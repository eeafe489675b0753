"""Images: list, create, show, change, delete."""

from urllib.parse import urlencode

from flask import Blueprint, Response, request

from kilo_catalog.domain import patch
from kilo_catalog.domain.listing import ImagePage
from kilo_catalog.domain.listing_query import Pairs
from kilo_catalog.domain.representation import represent
from kilo_catalog.errors import MediaTypeUnsupported
from kilo_catalog.http.services import ApiServices
from kilo_catalog.http.wire import context, empty_response, json_body, json_response


def blueprint(services: ApiServices) -> Blueprint:
    """The routes of `/v2/images`."""
    routes = Blueprint("images", __name__)
    images = services.images
    stores = ",".join(services.stores)

    @routes.get("/v2/images")
    def list_page() -> Response:
        pairs = list(request.args.items(multi=True))
        return json_response(_page(images.list_page(context(), pairs), pairs))

    @routes.post("/v2/images")
    def create() -> Response:
        image = images.create(context(), json_body(services.limits.body_size))
        base = (services.public_url or request.host_url).rstrip("/")
        headers = {
            "Location": f"{base}/v2/images/{image.id}",
            "OpenStack-image-store-ids": stores,
        }
        return json_response(represent(image), 201, headers)

    @routes.get("/v2/images/<image_id>")
    def show(image_id: str) -> Response:
        return json_response(represent(images.get(context(), image_id)))

    @routes.patch("/v2/images/<image_id>")
    def change(image_id: str) -> Response:
        media_type = _patch_type()
        changes = patch.parse(json_body(services.limits.body_size), media_type)
        return json_response(represent(images.update(context(), image_id, changes)))

    @routes.delete("/v2/images/<image_id>")
    def delete(image_id: str) -> Response:
        images.delete(context(), image_id)
        return empty_response()

    return routes


def _patch_type() -> str:
    if request.mimetype not in patch.MEDIA_TYPES:
        raise MediaTypeUnsupported(
            f"A PATCH must be of one of the types {', '.join(patch.MEDIA_TYPES)}",
            headers={"Accept-Patch": ", ".join(patch.MEDIA_TYPES)},
        )
    return request.mimetype


def _page(page: ImagePage, pairs: Pairs) -> dict[str, object]:
    rest = [(name, value) for name, value in pairs if name != "marker"]
    document: dict[str, object] = {
        "images": [represent(image) for image in page.images],
        "first": _link(rest),
        "schema": "/v2/schemas/images",
    }
    if page.has_more and page.images:
        document["next"] = _link([*rest, ("marker", page.images[-1].id)])
    return document


def _link(pairs: Pairs) -> str:
    return "/v2/images" + ("?" + urlencode(pairs) if pairs else "")
