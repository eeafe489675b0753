"""The Image API as an OpenAPI 3.1 document, made of the routes that the application has.

Paths, methods and path parameters come from the routing itself, schemas from the ones that clients
are shown, limits from the configuration. What neither of them says stands in `DETAILS`; a route
without details is still in the document.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from flask import Blueprint, Flask, Response, current_app

from kilo_catalog.domain.limits import Limits
from kilo_catalog.http.openapi_details import DETAILS, PARAMETERS, Body, Details
from kilo_catalog.http.openapi_schemas import components
from kilo_catalog.http.services import ApiServices
from kilo_catalog.http.wire import json_response

Json = dict[str, Any]
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_LEFT_OUT = frozenset({"HEAD", "OPTIONS"})


def blueprint(services: ApiServices) -> Blueprint:
    """`GET /v2/openapi.json`."""
    routes = Blueprint("openapi", __name__)
    made: list[Json] = []

    @routes.get("/v2/openapi.json")
    def show() -> Response:
        if not made:
            made.append(document(current_app, services.limits))
        return json_response(made[0])

    return routes


def document(app: Flask, limits: Limits) -> Json:
    """The document, as JSON values."""
    paths: Json = {}
    for rule, method, endpoint in _routes(app):
        path = _PARAMETER.sub(r"{\1}", rule)
        details = DETAILS.get((method, rule), Details(endpoint.replace(".", ": ")))
        paths.setdefault(path, {})[method.lower()] = _operation(rule, method, endpoint, details)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Kilostack's Image API",
            "version": "2.18",
            "description": "OpenStack's Image API v2, and what Kilostack adds to it.",
        },
        "paths": paths,
        "components": {
            "schemas": components(limits),
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}
            },
        },
        "security": [{"token": []}],
    }


def _routes(app: Flask) -> Iterator[tuple[str, str, str]]:
    """Path, method and endpoint of each route, in a lasting order."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda each: each.rule):
        for method in sorted((rule.methods or set()) - _LEFT_OUT):
            yield rule.rule, method, rule.endpoint


def _operation(rule: str, method: str, endpoint: str, details: Details) -> Json:
    found: Json = {
        "operationId": endpoint,
        "summary": details.summary,
        "tags": [endpoint.partition(".")[0]],
        "parameters": [*_in_path(rule), *_in_query(details)],
        "responses": {
            str(details.status): _answer(details),
            "4XX": {
                "description": "It was refused; the message says why.",
                "content": _content("application/json", "error"),
            },
        },
    }
    if method in _WITH_BODY and details.body is not None:
        found["requestBody"] = _body(details.body)
    return found


def _in_path(rule: str) -> Iterator[Json]:
    for name in _PARAMETER.findall(rule):
        schema = {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _in_query(details: Details) -> Iterator[Json]:
    for name in details.query:
        yield {"name": name, "in": "query", "required": False, "schema": PARAMETERS[name]}


def _answer(details: Details) -> Json:
    said: Json = {"description": details.said}
    if details.answer:
        said["content"] = _content(details.answer_type, details.answer)
    return said


def _body(body: Body) -> Json:
    content: Mapping[str, Any] = {
        media_type: found
        for media_type in body.types
        for found in _content(media_type, body.schema).values()
    }
    return {"required": body.required, "content": content}


def _content(media_type: str, schema: str) -> Json:
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
