"""The dashboard's web application, and its place in a stack."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from kilo_deploy.accounts import sign_in
from kilo_deploy.client import ApiClient
from kilo_deploy.dashboard.app import Dashboard
from kilo_deploy.state import Account, StackInfo

INFO = StackInfo(
    pid=1,
    catalog_url="http://127.0.0.1:1",
    messaging_url="http://127.0.0.1:2",
    websocket_url="ws://127.0.0.1:2",
    project="demo",
    strategy="dev",
    accounts=(Account("kilostack", "ann", "sesame", "demo"),),
)


def inner(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}".encode()]


def get(path: str, method: str = "GET") -> tuple[str, dict[str, str], bytes]:
    dashboard = Dashboard({"catalog": inner})
    dashboard.show(INFO)
    got: list[Any] = []
    body = dashboard(
        {"PATH_INFO": path, "REQUEST_METHOD": method, "SCRIPT_NAME": ""},
        lambda status, headers: got.extend([status, dict(headers)]),
    )
    return got[0], got[1] if len(got) > 1 else {}, b"".join(body)


def test_the_page_comes_with_its_parts_and_lets_in_no_foreign_script() -> None:
    status, headers, body = get("/")
    assert (status, body) == ("200 OK", get("/index.html")[2])
    assert headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert b"dashboard.js" in body
    assert get("/dashboard.js")[1]["Content-Type"].startswith("text/javascript")


@pytest.mark.parametrize(
    "path", ["/nothing", "/../app.py", "/app.py", "/static/index.html", "//etc/passwd", ""]
)
def test_nothing_else_is_served(path: str) -> None:
    assert get(path)[0] == "404 Not Found"


def test_a_head_has_no_body_and_other_methods_are_not_for_files() -> None:
    status, headers, body = get("/", "HEAD")
    assert (status, body) == ("200 OK", b"")
    assert int(headers["Content-Length"]) > 0
    assert get("/", "POST")[0].startswith("405")


def test_a_service_sees_its_own_paths() -> None:
    assert get("/catalog/v2/images")[2] == b"/catalog|/v2/images"
    assert get("/catalog/", "POST")[2] == b"/catalog|/"
    assert get("/catalog")[0] == "404 Not Found"


def test_the_page_knows_the_users_and_no_password() -> None:
    text = get("/stack.json")[2].decode()
    assert json.loads(text)["accounts"] == [{"username": "ann", "project": "demo"}]
    assert "sesame" not in text


def test_a_stack_serves_it_and_its_services_beneath(kilostack: StackInfo) -> None:
    headers = sign_in(kilostack, kilostack.project, {})
    beneath = ApiClient(kilostack.dashboard_url, headers)
    made = beneath.json("POST", "/catalog/v2/images", {"name": "by the dashboard"})
    direct = ApiClient(kilostack.catalog_url, headers)
    assert direct.json("GET", f"/v2/images/{made['id']}")["name"] == "by the dashboard"
    direct.json("DELETE", f"/v2/images/{made['id']}")
    assert beneath.json("GET", "/stack.json")["strategy"] == kilostack.strategy
