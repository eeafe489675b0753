"""The gateway around every application, through WSGI."""

import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import pytest
from werkzeug.test import Client

from kilo_common.context import RequestContext
from kilo_common.errors import ConfigInvalid, KiloError, NotFound, Unauthenticated, Unavailable
from kilo_common.http.auth import NoAuth, check_bind
from kilo_common.http.gateway import CONTEXT_KEY, Gateway, GatewayOptions
from kilo_common.http.metrics import HttpMetrics
from kilo_common.settings import AuthSettings

Answer = Callable[[RequestContext], str]
REQUEST_ID = "req-0a1b2c3d-0000-4000-8000-000000000000"


def error_body(error: KiloError, status: HTTPStatus) -> tuple[bytes, str]:
    return f"{status.value} {error.code} {error}".encode(), "text/plain"


def broker_down() -> None:
    raise Unavailable("the bus does not answer")


def client(answer: Answer, **options: Any) -> Client:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        text = answer(environ[CONTEXT_KEY])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [text.encode()]

    gateway = Gateway(
        app,
        GatewayOptions(service="test", error_body=error_body, **options),
        NoAuth(AuthSettings(strategy="none")),
        HttpMetrics("test"),
    )
    return Client(gateway)


def whoami(context: RequestContext) -> str:
    return f"{context.project_id} {context.user_id} {','.join(context.roles)}"


def not_found(context: RequestContext) -> str:
    raise NotFound("No such thing", headers={"X-Why": "gone"})


def crash(context: RequestContext) -> str:
    raise RuntimeError("secret")


def test_each_answer_has_a_request_id_of_its_own() -> None:
    web = client(whoami)
    ids = {web.get("/x").headers["X-OpenStack-Request-ID"] for _ in range(3)}
    assert len(ids) == 3
    assert all(each.startswith("req-") for each in ids)


def test_the_callers_request_id_is_kept_as_the_global_one_if_it_is_one() -> None:
    web = client(lambda context: str(context.global_request_id))
    assert web.get("/x", headers={"X-OpenStack-Request-ID": REQUEST_ID}).text == REQUEST_ID
    assert web.get("/x", headers={"X-OpenStack-Request-ID": "<script>"}).text == "None"


def test_a_trace_goes_on() -> None:
    web = client(lambda context: context.traceparent)
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    assert web.get("/x", headers={"traceparent": parent}).text.startswith(f"00-{'a' * 32}-")


def test_without_auth_the_caller_is_who_it_says() -> None:
    web = client(whoami)
    assert web.get("/x").text == "demo anonymous admin,member,reader"
    named = web.get("/x", headers={"X-Project-Id": "p2", "X-Roles": "Reader", "X-User-Id": "u"})
    assert named.text == "p2 u reader"
    assert web.get("/x", headers={"X-Project-Id": "p" * 257}).status_code == 400


def test_an_error_has_its_status_its_body_and_its_headers() -> None:
    answer = client(not_found).get("/x")
    assert (answer.status_code, answer.text) == (404, "404 kilo.not_found No such thing")
    assert answer.headers["X-Why"] == "gone"


def test_a_fault_of_ours_tells_nothing_to_the_client_and_all_to_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = client(crash).get("/x")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "secret" in caplog.text


def test_health_metrics_and_readiness() -> None:
    web = client(whoami)
    assert web.get("/healthcheck").text == "OK\n"
    assert web.get("/health/ready").status_code == 200
    web.get("/x").close()
    assert 'kilo_http_requests_total{method="GET",status="200"}' in web.get("/metrics").text
    assert client(whoami, ready=broker_down).get("/health/ready").status_code == 503


def test_pages_of_listed_origins_may_call() -> None:
    web = client(whoami, cors_origins=("https://good.example",))
    preflight = {
        "Origin": "https://good.example",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "x-project-id",
    }
    answer = web.options("/x", headers=preflight)
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "https://good.example"
    assert answer.headers["Access-Control-Allow-Headers"] == "x-project-id"
    other = web.get("/x", headers={"Origin": "https://bad.example"})
    assert "Access-Control-Allow-Origin" not in other.headers


def test_public_paths_need_no_identity() -> None:
    class Nobody:
        challenge = 'Keystone uri="http://127.0.0.1/"'

        def authenticate(self, headers: Any) -> Any:
            raise Unauthenticated("Who are you?")

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [b"public"]

    web = Client(
        Gateway(
            app,
            GatewayOptions(service="test", error_body=error_body),
            Nobody(),
            HttpMetrics("test"),
        )
    )
    assert web.get("/").status_code == 200
    refused = web.get("/v2/images")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Keystone")


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "example.org"])
def test_no_auth_is_refused_where_other_machines_reach(host: str) -> None:
    with pytest.raises(ConfigInvalid, match="allow_insecure_bind"):
        check_bind(AuthSettings(), host)
    check_bind(AuthSettings(allow_insecure_bind=True), host)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.1.2.3"])
def test_no_auth_is_fine_on_loopback(host: str) -> None:
    check_bind(AuthSettings(), host)
