"""The OpenAPI document says what the routes do, and what is generated from it breaks nothing."""

from typing import Any

from flask import Flask
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from catalog_story import Catalog
from kilo_catalog.app import CatalogFlask
from kilo_catalog.http.openapi_details import DETAILS


def document(catalog: Catalog) -> dict[str, Any]:
    answer = catalog.request("GET", "/v2/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.get_json()
    return found


def flask_of(catalog: Catalog) -> Flask:
    app = catalog.api.app._app.__self__  # type: ignore[attr-defined]  # a bound method
    assert isinstance(app, CatalogFlask)
    return app


def test_every_route_is_in_it(catalog: Catalog) -> None:
    listed = {
        (method.upper(), path)
        for path, operations in document(catalog)["paths"].items()
        for method in operations
    }
    assert ("PATCH", "/v2/images/{image_id}") in listed
    assert ("PUT", "/v2/metadefs/namespaces/{namespace}/tags/{name}") in listed
    routes = flask_of(catalog).url_map.iter_rules()
    served = sum(len((rule.methods or set()) - {"HEAD", "OPTIONS"}) for rule in routes)
    assert len(listed) == served


def test_no_details_are_of_a_route_that_is_gone(catalog: Catalog) -> None:
    served = {
        (method, rule.rule)
        for rule in flask_of(catalog).url_map.iter_rules()
        for method in rule.methods or ()
    }
    assert DETAILS.keys() - served == set()


def test_it_is_openapi(catalog: Catalog) -> None:
    validate(document(catalog))


def test_answers_are_what_it_says(catalog: Catalog) -> None:
    schemas = document(catalog)["components"]["schemas"]
    image_id = catalog.create_active(name="x", tags=["a"], os_distro="debian")
    catalog.request("POST", f"/v2/images/{image_id}/members", json={"member": "p2"})
    for path, name in (
        (f"/v2/images/{image_id}", "image"),
        ("/v2/images", "images"),
        (f"/v2/images/{image_id}/members", "members"),
        (f"/v2/images/{image_id}/members/p2", "member"),
        ("/v2/images/none", "error"),
    ):
        answer = catalog.request("GET", path).get_json()
        assert answer
        Draft202012Validator(schemas[name]).validate(answer)
