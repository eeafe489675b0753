"""Between Flask and the services: the caller's context, JSON in, JSON out, errors as bodies."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Response, request

from kilo_common.context import RequestContext
from kilo_common.errors import KiloError
from kilo_common.http.body import read_json
from kilo_common.http.gateway import CONTEXT_KEY

_encoder = msgspec.json.Encoder()
JSON = "application/json"


def context() -> RequestContext:
    """Who asks, as the gateway found out."""
    found: RequestContext = request.environ[CONTEXT_KEY]
    return found


def json_body(limit: int) -> Any:
    """The request's body as JSON values. Raises as `read_json`."""
    return read_json(request.environ, limit)


def json_response(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer with a JSON body."""
    return Response(_encoder.encode(value), status, headers, content_type=JSON)


def empty_response() -> Response:
    """204: done, and nothing to say."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response


def error_body(error: KiloError, status: HTTPStatus) -> tuple[bytes, str]:
    """An error in the Image API's shape."""
    body = {
        "error": {
            "code": error.code,
            "status": status.value,
            "title": status.phrase,
            "message": error.message,
        }
    }
    return _encoder.encode(body), JSON
