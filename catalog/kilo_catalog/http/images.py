"""Images: list, create, show, change, delete."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from flask import Blueprint, Response, request

from kilo_catalog.domain import json_patch, patch
from kilo_catalog.domain.image import Image
from kilo_catalog.domain.limits import Limits
from kilo_catalog.domain.listing import ImagePage
from kilo_catalog.domain.listing_query import Pairs
from kilo_catalog.domain.location_bodies import concerns_locations
from kilo_catalog.domain.representation import represent
from kilo_catalog.errors import MediaTypeUnsupported
from kilo_catalog.http.services import ApiServices
from kilo_catalog.http.wire import context, empty_response, json_body, json_response, page_links

_PATCH_TYPES = (*patch.MEDIA_TYPES, json_patch.MEDIA_TYPE)


def blueprint(services: ApiServices) -> Blueprint:
    """The routes of `/v2/images`."""
    routes = Blueprint("images", __name__)
    images = services.images
    stores = ",".join(services.stores)
    methods = ",".join(each.value for each in services.imports.methods)
    locations = services.locations

    def answer(
        image: Image, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> Response:
        shown = represent(image) | locations.attributes(image)
        return json_response(shown, status, {**_etag(image), **(headers or {})})

    @routes.get("/v2/images")
    def list_page() -> Response:
        pairs = list(request.args.items(multi=True))
        page = images.list_page(context(), pairs)
        shown = [represent(image) | locations.attributes(image) for image in page.images]
        return json_response(_page(page, shown, pairs))

    @routes.post("/v2/images")
    def create() -> Response:
        image = images.create(context(), json_body(services.limits.body_size))
        base = (services.public_url or request.host_url).rstrip("/")
        headers = {
            "Location": f"{base}/v2/images/{image.id}",
            "OpenStack-image-store-ids": stores,
            "OpenStack-image-import-methods": methods,
        }
        return answer(image, 201, headers)

    @routes.get("/v2/images/<image_id>")
    def show(image_id: str) -> Response:
        image = images.get(context(), image_id)
        if "If-None-Match" in request.headers and request.if_none_match.contains_weak(
            str(image.version)
        ):
            return Response(status=304, headers=_etag(image))
        return answer(image)

    @routes.patch("/v2/images/<image_id>")
    def change(image_id: str) -> Response:
        body = _patch_body(services.limits)
        if concerns_locations(body):
            locations.patch(context(), image_id, body, _expected())
            return answer(images.get(context(), image_id))
        document = _document(body, services.limits)
        return answer(images.update(context(), image_id, document, _expected()))

    @routes.delete("/v2/images/<image_id>")
    def delete(image_id: str) -> Response:
        images.delete(context(), image_id, _expected())
        return empty_response()

    return routes


def _patch_body(limits: Limits) -> Any:
    media_type = request.mimetype
    if media_type not in _PATCH_TYPES:
        types = ", ".join(_PATCH_TYPES)
        raise MediaTypeUnsupported(
            f"A PATCH must be of one of the types {types}", headers={"Accept-Patch": types}
        )
    return json_body(limits.body_size)


def _document(body: Any, limits: Limits) -> patch.Document:
    if request.mimetype == json_patch.MEDIA_TYPE:
        return json_patch.parse(body, limits)
    return patch.parse(body, request.mimetype)


def _etag(image: Image) -> dict[str, str]:
    return {"ETag": f'"{image.version}"'}


def _expected() -> Collection[int] | None:
    """The versions that If-Match names; None if any will do."""
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return None
    tags = request.if_match.as_set(include_weak=False)
    return {int(tag) for tag in tags if tag.isascii() and tag.isdigit() and len(tag) < 19}


def _page(page: ImagePage, shown: Sequence[Mapping[str, Any]], pairs: Pairs) -> dict[str, object]:
    last = page.images[-1].id if page.has_more and page.images else None
    return {
        "images": shown,
        "schema": "/v2/schemas/images",
        **page_links("/v2/images", pairs, last),
    }
