"""The cache of the node that is asked."""

from flask import Blueprint, Response, request

from kilo_catalog.db.base_cache import CacheEntry
from kilo_catalog.errors import CacheInvalid
from kilo_catalog.http.services import ApiServices
from kilo_catalog.http.wire import context, empty_response, json_response
from kilo_catalog.service.cache_admin import Target

CLEAR_TARGET = "x-image-cache-clear-target"


def blueprint(services: ApiServices) -> Blueprint:
    """The routes of `/v2/cache`."""
    routes = Blueprint("cache", __name__)
    cache = services.cache

    @routes.get("/v2/cache")
    def list_all() -> Response:
        entries = cache.list(context())
        cached = [_shown(each) for each in entries if each.cached_at is not None]
        queued = [each.image_id for each in entries if each.cached_at is None]
        return json_response({"cached_images": cached, "queued_images": queued})

    @routes.delete("/v2/cache")
    def clear() -> Response:
        wanted = request.headers.get(CLEAR_TARGET, "").strip().lower() or Target.BOTH.value
        if wanted not in {each.value for each in Target}:
            raise CacheInvalid(f"{CLEAR_TARGET} must be cache, queue or both, or left out")
        cache.clear(context(), Target(wanted))
        return empty_response()

    @routes.put("/v2/cache/<image_id>")
    def queue(image_id: str) -> Response:
        cache.queue(context(), image_id)
        response = Response(status=202)
        del response.headers["Content-Type"]
        return response

    @routes.delete("/v2/cache/<image_id>")
    def remove(image_id: str) -> Response:
        cache.remove(context(), image_id)
        return empty_response()

    @routes.get("/v2/cache/nodes/<image_id>")
    def nodes(image_id: str) -> Response:
        return json_response(list(cache.nodes(context(), image_id)))

    @routes.post("/v2/cache/clean")
    def clean() -> Response:
        cache.clean(context())
        return empty_response()

    @routes.post("/v2/cache/prune")
    def prune() -> Response:
        cache.prune(context())
        return empty_response()

    return routes


def _shown(entry: CacheEntry) -> dict[str, object]:
    """A cached image; times are seconds since 1970, in UTC."""
    used, made = entry.accessed_at, entry.cached_at
    return {
        "image_id": entry.image_id,
        "hits": entry.hits,
        "last_accessed": used.timestamp() if used else 0,
        "last_modified": made.timestamp() if made else 0,
        "size": entry.size,
    }
