"""Between Flask and the services: the caller's context, JSON in, JSON out, errors as bodies."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import msgspec
from flask import Response, request

from kilo_common.context import RequestContext
from kilo_common.errors import KiloError
from kilo_common.http.body import read_json
from kilo_common.http.gateway import CONTEXT_KEY

_encoder = msgspec.json.Encoder()
JSON = "application/json"


class WholeResponse(Response):
    """An answer whose body is here already: it leaves without werkzeug's looking through it."""

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        body = b"".join(self.response)  # type: ignore[arg-type]  # bytes, as we made it
        headers = [*self.headers.items(), ("Content-Length", str(len(body)))]
        start_response(self.status, headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]


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
    return WholeResponse([_encoder.encode(value)], status, headers, content_type=JSON)


def link(path: str, pairs: Sequence[tuple[str, str]]) -> str:
    """A path with a query string."""
    return path + ("?" + urlencode(pairs) if pairs else "")


def page_links(path: str, pairs: Sequence[tuple[str, str]], last: str | None) -> dict[str, str]:
    """Where a list begins and, after the item `last`, goes on; None: nowhere."""
    rest = [(name, value) for name, value in pairs if name != "marker"]
    links = {"first": link(path, rest)}
    if last is not None:
        links["next"] = link(path, [*rest, ("marker", last)])
    return links


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
