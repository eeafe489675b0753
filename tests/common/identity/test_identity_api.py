"""The built-in Identity API v3, and the strategy that reads its tokens."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import Client, EnvironBuilder, TestResponse, run_wsgi_app

from kilo_common.errors import ConfigInvalid, Unauthenticated
from kilo_common.http.auth import Identity, check_bind, open_strategy
from kilo_common.identity import wiring
from kilo_common.settings import AuthSettings, DevIdentitySettings, DevProject, DevUser
from kilo_common.testing.clock import FakeClock

DEFAULT = {"id": "default"}


class Keystone:
    """The service over WSGI, and a service that trusts its tokens."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.clock = FakeClock()
        self.settings = DevIdentitySettings(key_file=str(folder / "identity.key"), **changes)
        api = wiring.build(self.settings, self.clock)
        api.catalog.publish("identity", "http://127.0.0.1:5000")
        api.catalog.publish("image", "http://127.0.0.1:9292")
        self.web = Client(api.app)
        # The executor is for strategies that compute; this one does not.
        auth = AuthSettings(strategy="dev", dev=self.settings)
        self.strategy = open_strategy(auth, None, self.clock)  # type: ignore[arg-type]

    def post(self, identity: Any, scope: Any = None) -> TestResponse:
        body = {"auth": {"identity": identity} | ({"scope": scope} if scope else {})}
        return self.web.post("/v3/auth/tokens", json=body)

    def sign_in(self, name: str, project: str | None, password: str | None = None) -> TestResponse:
        scope = {"project": {"name": project, "domain": DEFAULT}} if project else None
        return self.post(by_password(name, password or name), scope)

    def token(self, name: str, project: str | None) -> str:
        answer = self.sign_in(name, project)
        assert answer.status_code == 201, answer.text
        return answer.headers["X-Subject-Token"]

    def get(self, path: str, token: str, method: str = "GET", **headers: str) -> TestResponse:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.web.open(path, method=method, headers={"X-Auth-Token": token} | names)

    def who(self, token: str) -> Identity:
        return self.strategy.authenticate({"x-auth-token": token, "x-project-id": "else"})


def by_password(name: str, password: str) -> dict[str, Any]:
    user = {"name": name, "domain": DEFAULT, "password": password}
    return {"methods": ["password"], "password": {"user": user}}


def by_token(token: str) -> dict[str, Any]:
    return {"methods": ["token"], "token": {"id": token}}


@pytest.fixture
def keystone(tmp_path: Path) -> Keystone:
    return Keystone(tmp_path)


def test_discovery_names_version_3(keystone: Keystone) -> None:
    root = keystone.web.get("/")
    assert root.status_code == 300
    (version,) = root.json["versions"]["values"]
    assert version["id"] == "v3.14"
    assert version["links"] == [{"rel": "self", "href": "http://localhost/v3/"}]
    for path in ("/v3", "/v3/"):
        assert keystone.web.get(path).json == {"version": version}


def test_a_password_is_turned_into_a_token_with_a_catalog(keystone: Keystone) -> None:
    answer = keystone.sign_in("demo", "demo")
    token = answer.json["token"]
    assert token["project"] == {
        "id": "demo",
        "name": "demo",
        "domain": {"id": "default", "name": "Default"},
    }
    assert [role["name"] for role in token["roles"]] == ["member", "reader"]
    assert token["methods"] == ["password"]
    assert token["issued_at"] == "2026-01-01T00:00:00.000000Z"
    assert token["expires_at"] == "2026-01-01T04:00:00.000000Z"
    images = next(each for each in token["catalog"] if each["type"] == "image")
    assert {each["url"] for each in images["endpoints"]} == {"http://127.0.0.1:9292"}
    assert [each["interface"] for each in images["endpoints"]] == ["public", "internal", "admin"]
    assert keystone.who(answer.headers["X-Subject-Token"]) == Identity(
        "demo", "demo", ("member", "reader")
    )


def test_admin_implies_the_lesser_roles_and_service_none(keystone: Keystone) -> None:
    admin = keystone.who(keystone.token("admin", "demo"))
    assert (admin.project_id, admin.roles) == ("demo", ("admin", "manager", "member", "reader"))
    assert keystone.who(keystone.token("kilostack", "service")).roles == ("service",)


def test_a_token_is_turned_into_one_for_another_project_with_the_same_end(
    keystone: Keystone,
) -> None:
    unscoped = keystone.sign_in("admin", None)
    assert not {"project", "roles", "catalog"} & unscoped.json["token"].keys()
    keystone.clock.advance(60)
    scoped = keystone.post(
        by_token(unscoped.headers["X-Subject-Token"]), {"project": {"id": "admin"}}
    )
    assert scoped.json["token"]["project"]["id"] == "admin"
    assert scoped.json["token"]["expires_at"] == unscoped.json["token"]["expires_at"]
    assert scoped.json["token"]["methods"] == ["password", "token"]
    assert scoped.json["token"]["audit_ids"][1] == unscoped.json["token"]["audit_ids"][0]


def test_services_want_a_token_for_a_project(keystone: Keystone) -> None:
    unscoped = keystone.token("demo", None)
    with pytest.raises(Unauthenticated, match="no project"):
        keystone.who(unscoped)
    assert keystone.get("/v3/auth/projects", unscoped).json["projects"][0]["name"] == "demo"


@pytest.mark.parametrize(
    ("identity", "scope", "status"),
    [
        (by_password("demo", "wrong"), None, 401),
        (by_password("nobody", "demo"), None, 401),
        (by_password("demo", ""), None, 401),
        (by_password("demo", "d\u00e9mo"), None, 401),
        (by_password("demo", "demo"), {"project": {"id": "alt"}}, 401),
        (by_password("demo", "demo"), {"project": {"id": "none"}}, 401),
        (by_password("demo", "demo"), {"project": {"id": 7}}, 400),
        (by_password("demo", "demo"), {"project": {"name": "demo"}}, 400),
        (by_password("demo", "demo"), {"project": {"name": "demo", "domain": {}}}, 401),
        (by_password("demo", "demo"), {"domain": DEFAULT}, 401),
        (by_password("demo", "demo"), {"system": {"all": True}}, 401),
        (by_token("nonsense"), None, 401),
        (by_token("a.b"), None, 401),
        (by_token("\u00e4.\u00f6"), None, 401),
        ({"methods": []}, None, 400),
        ({"methods": ["password"]}, None, 400),
        ({"methods": ["totp"]}, None, 401),
        ({"methods": "password"}, None, 400),
        ({"methods": ["password"], "password": {"user": {"password": "demo"}}}, None, 400),
        ([], None, 400),
    ],
)
def test_what_proves_nothing_gets_no_token(
    identity: Any, scope: Any, status: int, keystone: Keystone
) -> None:
    answer = keystone.post(identity, scope)
    assert answer.status_code == status
    error = answer.json["error"]
    assert error["code"] == status
    assert error["title"] == {400: "Bad Request", 401: "Unauthorized"}[status]
    assert error["message"]
    assert "X-Subject-Token" not in answer.headers


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b"[" * 100_000, b'{"auth": "\\ud800"}'])
def test_a_body_that_is_no_request_is_a_400_or_a_413(body: bytes, keystone: Keystone) -> None:
    answer = keystone.web.post("/v3/auth/tokens", data=body)
    assert answer.status_code in (400, 413)
    assert "error" in answer.json


def test_a_forged_or_changed_token_is_refused(keystone: Keystone, tmp_path: Path) -> None:
    token = keystone.token("demo", "demo")
    payload, _dot, mac = token.partition(".")
    other = Keystone(tmp_path / "other").token("demo", "demo")
    for forged in (other, f"{payload}.", f".{mac}", payload, f"{payload}A.{mac}", "x" * 10_000):
        with pytest.raises(Unauthenticated):
            keystone.who(forged)
    for headers in ({}, {"x-auth-token": ""}, {"x-project-id": "demo", "x-roles": "admin"}):
        with pytest.raises(Unauthenticated):
            keystone.strategy.authenticate(headers)


def test_a_token_ends(keystone: Keystone) -> None:
    token = keystone.token("demo", "demo")
    keystone.clock.advance(4 * 3600 - 1)
    keystone.who(token)
    keystone.clock.advance(1)
    with pytest.raises(Unauthenticated, match="expired"):
        keystone.who(token)


def test_a_revoked_token_is_refused_everywhere_and_after_a_restart(
    keystone: Keystone, tmp_path: Path
) -> None:
    token, kept = keystone.token("demo", "demo"), keystone.token("demo", "demo")
    assert (
        keystone.get("/v3/auth/tokens", token, "DELETE", X_Subject_Token=token).status_code == 204
    )
    assert keystone.get("/v3/auth/projects", token).status_code == 401
    restarted = Keystone(tmp_path)
    for service in (keystone, restarted):
        with pytest.raises(Unauthenticated, match="revoked"):
            service.who(token)
        service.who(kept)


def test_a_token_can_be_looked_at_by_its_owner_and_by_services(keystone: Keystone) -> None:
    demo, alt = keystone.token("demo", "demo"), keystone.token("alt", "alt")
    service = keystone.token("kilostack", "service")
    for caller in (demo, service):
        shown = keystone.get("/v3/auth/tokens", caller, X_Subject_Token=demo)
        assert shown.status_code == 200
        assert shown.json["token"]["user"]["name"] == "demo"
        assert shown.headers["X-Subject-Token"] == demo
    bare = keystone.get("/v3/auth/tokens?nocatalog", demo, X_Subject_Token=demo)
    assert "catalog" not in bare.json["token"]
    head = keystone.get("/v3/auth/tokens", demo, "HEAD", X_Subject_Token=demo)
    assert (head.status_code, head.data) == (200, b"")
    assert keystone.get("/v3/auth/tokens", alt, X_Subject_Token=demo).status_code == 403
    assert keystone.get("/v3/auth/tokens", demo, X_Subject_Token="junk").status_code == 404
    assert keystone.get("/v3/auth/tokens", demo).status_code == 400
    assert keystone.web.get("/v3/auth/tokens").status_code == 401
    assert keystone.get("/v3/auth/tokens", demo, "PUT").status_code == 405


def test_records_are_read_by_administrators_and_ones_own_by_anybody(keystone: Keystone) -> None:
    admin, demo = keystone.token("admin", "admin"), keystone.token("demo", "demo")

    def names(path: str, token: str = admin) -> list[str]:
        (records,) = (v for k, v in keystone.get(path, token).json.items() if k != "links")
        return [each.get("name", each["id"]) for each in records]

    assert names("/v3/projects") == ["admin", "demo", "alt", "service"]
    assert names("/v3/projects?name=alt&domain_id=default&enabled=True") == ["alt"]
    assert names("/v3/users") == ["admin", "demo", "alt", "kilostack"]
    assert "password" not in keystone.get("/v3/users", admin).json["users"][0]
    assert names("/v3/roles", demo) == ["admin", "manager", "member", "reader", "service"]
    assert names("/v3/domains", demo) == ["Default"]
    assert names("/v3/regions", demo) == ["RegionOne"]
    assert names("/v3/services", demo) == ["keystone", "glance"]
    assert len(names("/v3/endpoints", demo)) == 6
    assert names("/v3/auth/catalog", demo) == ["keystone", "glance"]
    assert names("/v3/users/demo/projects", demo) == ["demo"]
    for path in ("/v3/projects/demo", "/v3/users/demo"):
        assert keystone.get(path, demo).status_code == 200
    for path in ("/v3/projects", "/v3/users", "/v3/projects/alt", "/v3/users/alt"):
        assert keystone.get(path, demo).status_code == 403
    for path in ("/v3/projects/x", "/v3/users/x", "/v3/nothing", "/v2.0/tokens", "/v3/roles/x"):
        assert keystone.get(path, admin).status_code == 404
    assert keystone.get("/v3/projects", admin, "POST").status_code == 405


def test_a_401_says_where_to_sign_in(keystone: Keystone) -> None:
    answer = keystone.web.get("/v3/projects", headers={"X-Project-Id": "demo", "X-Roles": "admin"})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Keystone uri="http://127.0.0.1:5000"'


def test_projects_users_and_roles_come_from_the_configuration(tmp_path: Path) -> None:
    keystone = Keystone(
        tmp_path,
        projects={"lab": DevProject(id="0123")},
        users={"eve": DevUser(password="Geheim:ß", roles={"lab": ("Manager", "auditor")})},
    )
    answer = keystone.sign_in("eve", "lab", "Geheim:ß")
    assert answer.status_code == 201
    found = keystone.who(answer.headers["X-Subject-Token"])
    assert found == Identity("0123", "eve", ("auditor", "manager", "member", "reader"))
    assert keystone.sign_in("demo", "demo").status_code == 401


def test_who_is_gone_from_the_configuration_is_out(keystone: Keystone, tmp_path: Path) -> None:
    token = keystone.token("demo", "demo")
    smaller = Keystone(tmp_path, users={"demo": DevUser(password="demo")})
    with pytest.raises(Unauthenticated, match="no role"):
        smaller.who(token)
    with pytest.raises(Unauthenticated, match="not there"):
        Keystone(tmp_path, users={}).who(token)


@pytest.mark.parametrize(
    "changes",
    [
        {"users": {"a/b": DevUser(password="x")}},
        {"users": {"a": DevUser(password="x", roles={"nowhere": ("member",)})}},
        {"projects": {"a": DevProject(id="x"), "b": DevProject(id="x")}, "users": {}},
        {"projects": {"": DevProject()}, "users": {}},
    ],
)
def test_a_contradiction_stops_the_start(changes: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid):
        Keystone(tmp_path, **changes)


def test_the_key_is_its_owners_alone(keystone: Keystone, tmp_path: Path) -> None:
    file = tmp_path / "identity.key"
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    with pytest.raises(ConfigInvalid, match="chmod 600"):
        Keystone(tmp_path)
    file.chmod(0o600)
    file.write_bytes(b"short")
    with pytest.raises(ConfigInvalid, match="no key"):
        Keystone(tmp_path)


def test_dev_refuses_to_listen_where_other_machines_reach() -> None:
    with pytest.raises(ConfigInvalid, match="allow_insecure_bind"):
        check_bind(AuthSettings(strategy="dev"), "0.0.0.0")
    check_bind(AuthSettings(strategy="http_basic"), "0.0.0.0")


PATHS = ("/", "/v3", "/v3/auth/tokens", "/v3/auth/projects", "/v3/projects", "/v3/users/demo")


@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"]),
    path=st.sampled_from(PATHS) | st.text(st.characters(min_codepoint=33, max_codepoint=255)),
    query=st.binary(max_size=30),
    token=st.sampled_from(["good", "", "a.b"]) | st.text(st.characters(max_codepoint=255)),
    subject=st.sampled_from(["good", ""]) | st.text(st.characters(max_codepoint=255)),
    body=st.binary(max_size=60) | st.sampled_from([b'{"auth": {"identity": {"methods": [""]}}}']),
)
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_request_is_our_fault(
    method: str, path: str, query: bytes, token: str, subject: str, body: bytes, keystone: Keystone
) -> None:
    good = keystone.token("demo", "demo")
    environ = EnvironBuilder("/", method=method, data=body).get_environ()
    environ |= {"PATH_INFO": path, "QUERY_STRING": query.decode("latin-1")}
    environ["HTTP_X_AUTH_TOKEN"] = good if token == "good" else token
    environ["HTTP_X_SUBJECT_TOKEN"] = good if subject == "good" else subject
    answer = run_wsgi_app(keystone.web.application, environ)
    assert int(answer[1][:3]) < 500
