"""What this service offers: its stores, its import methods, and what a project uses."""

from flask import Blueprint, Response, request

from kilo_catalog.domain.quotas import UNLIMITED
from kilo_catalog.http.services import ApiServices
from kilo_catalog.http.wire import context, json_response

_MIB = 1 << 20


def blueprint(services: ApiServices) -> Blueprint:
    """The routes of `/v2/info`."""
    routes = Blueprint("info", __name__)

    @routes.get("/v2/info/stores")
    def stores() -> Response:
        return json_response({"stores": _stores(services, detail=False)})

    @routes.get("/v2/info/stores/detail")
    def stores_detail() -> Response:
        services.policy.enforce(context(), "stores_info_detail", {})
        usage = request.args.get("usage", "").lower() in ("1", "true")
        return json_response({"stores": _stores(services, detail=True, usage=usage)})

    @routes.get("/v2/info/import")
    def import_methods() -> Response:
        offered = [each.value for each in services.imports.methods]
        methods = {"description": "Import methods available.", "type": "array", "value": offered}
        return json_response({"import-methods": methods})

    @routes.get("/v2/info/usage")
    def usage() -> Response:
        used = services.images.usage(context())
        quotas = services.quotas.of(context().project_id)
        figures = {
            "image_size_total": (_mebibytes(quotas.size), used.size // _MIB),
            "image_count_total": (quotas.images, used.images),
            "image_stage_total": (_mebibytes(quotas.staged), used.staged // _MIB),
            "image_count_uploading": (quotas.uploads, used.uploading),
        }
        shown = {name: {"limit": limit, "usage": taken} for name, (limit, taken) in figures.items()}
        return json_response({"usage": shown})

    return routes


def _mebibytes(quota: int) -> int:
    return quota if quota == UNLIMITED else quota // _MIB


def _stores(services: ApiServices, *, detail: bool, usage: bool = False) -> list[dict[str, object]]:
    shown: list[dict[str, object]] = []
    for name, store in services.stores.items():
        entry: dict[str, object] = {"id": name}
        if store.description:
            entry["description"] = store.description
        if name == services.default_store:
            entry["default"] = "true"
        if store.read_only:
            entry["read-only"] = "true"
        if detail:
            entry["type"] = store.driver
            entry["weight"] = store.weight
            entry["properties"] = {"capabilities": store.capabilities}
        if usage:
            entry["usage"] = services.locations.usage(name)
        shown.append(entry)
    return shown
