"""The Flask application of the Image API, made of ready services."""

import re
from collections.abc import Iterable
from typing import Any

from flask import Flask, request
from werkzeug.exceptions import HTTPException

from kilo_catalog.errors import MethodUnknown, PathNotFound
from kilo_catalog.http import (
    actions,
    artifacts,
    cache,
    image_data,
    images,
    imports,
    info,
    introspection,
    locations,
    members,
    metadef_items,
    metadefs,
    openapi,
    schemas,
    tags,
    tasks,
    uploads,
    versions,
)
from kilo_catalog.http.services import ApiServices
from kilo_common.errors import InvalidInput

_MINOR_VERSION = re.compile(r"/v2\.(\d|1[0-8])(?=/|$)")


class CatalogFlask(Flask):
    """Flask, for which `/v2.N/…` is `/v2/…`."""

    def wsgi_app(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if "\0" in path:
            raise PathNotFound("There is nothing at this path")
        environ["PATH_INFO"] = _MINOR_VERSION.sub("/v2", path, count=1) if "." in path else path
        return super().wsgi_app(environ, start_response)


def create_app(services: ApiServices) -> Flask:
    """The Image API. Errors leave it as `KiloError`: the gateway around it renders them."""
    app = CatalogFlask("kilo_catalog", static_folder=None)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    app.url_map.merge_slashes = False
    requests = (
        versions, images, image_data, locations, introspection, imports, members, tags, actions,
        tasks, uploads,
    )  # fmt: skip
    for noun in (*requests, metadefs, metadef_items, artifacts, schemas, info, cache, openapi):
        app.register_blueprint(noun.blueprint(services))
    app.register_error_handler(HTTPException, _as_our_own)
    return app


def _as_our_own(fault: HTTPException) -> Any:
    """What Flask itself refuses, as an error of the project."""
    if fault.code == 404:
        raise PathNotFound("There is nothing at this path", path=request.path) from fault
    if fault.code == 405:
        allowed = ", ".join(sorted(getattr(fault, "valid_methods", None) or ()))
        raise MethodUnknown(
            f"{request.method} is not allowed here; allowed: {allowed}",
            headers={"Allow": allowed},
        ) from fault
    raise InvalidInput(f"The request cannot be read: {fault.description}") from fault
