"""The strategy `http_basic`."""

import base64
from collections.abc import Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from werkzeug.test import Client

from kilo_common.errors import ConfigInvalid, KiloError
from kilo_common.http.auth import open_strategy
from kilo_common.http.basic_auth import BasicAuth, CredentialsWrong
from kilo_common.http.gateway import CONTEXT_KEY, Gateway, GatewayOptions
from kilo_common.http.metrics import HttpMetrics
from kilo_common.settings import AuthSettings, BasicAuthSettings, BasicUser
from kilo_common.testing.clock import FakeClock


class CountingExecutor(ThreadPoolExecutor):
    """Native threads that know how often they were asked."""

    asked = 0

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        self.asked += 1
        return super().submit(*args, **kwargs)


def entry(name: str, password: str) -> str:
    return f"{name}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "htpasswd"
    file.write_text("# people\n\n" + entry("ann", "s3cret") + entry("bøb", "p:wörd"))
    return file


USERS = {"ann": BasicUser(project="red", roles=("Admin",)), "bøb": BasicUser(project="blue")}


def settings(file: Path, **changes: Any) -> AuthSettings:
    basic = BasicAuthSettings(**{"file": str(file), "users": USERS} | changes)
    return AuthSettings(strategy="http_basic", http_basic=basic)


def opened(file: Path, executor: Executor, clock: FakeClock | None = None) -> BasicAuth:
    strategy = open_strategy(settings(file), executor, clock or FakeClock())
    assert isinstance(strategy, BasicAuth)
    return strategy


def basic(text: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def test_a_user_is_who_the_file_and_the_configuration_say(file: Path, executor: Executor) -> None:
    auth = opened(file, executor)
    ann = auth.authenticate(basic("ann:s3cret") | {"x-project-id": "other", "x-roles": "x"})
    assert (ann.project_id, ann.user_id, ann.roles) == ("red", "ann", ("admin",))
    bob = auth.authenticate(basic("bøb:p:wörd"))
    assert (bob.project_id, bob.roles) == ("blue", ("member", "reader"))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer abc"},
        {"authorization": "Basic"},
        {"authorization": "Basic %%%"},
        {"authorization": "Basic \u00e4"},
        {"authorization": "Basic " + base64.b64encode(b"ann").decode()},
        {"authorization": "Basic " + base64.b64encode(b"\xff:x").decode()},
        {"x-auth-token": "notused", "x-project-id": "red"},
        basic("ann:wrong"),
        basic("ann:"),
        basic(":s3cret"),
        basic("ANN:s3cret"),
        basic("carl:s3cret"),
        basic("ann:s3cret\0"),
        basic("ann:" + "s" * 1000),
    ],
)
def test_wrong_credentials_are_refused(
    headers: dict[str, str], file: Path, executor: Executor
) -> None:
    with pytest.raises(CredentialsWrong):
        opened(file, executor).authenticate(headers)


def test_a_right_password_is_remembered_for_a_while_and_a_wrong_one_never(file: Path) -> None:
    clock = FakeClock()
    with CountingExecutor(2) as executor:
        auth = opened(file, executor, clock)
        for _ in range(3):
            auth.authenticate(basic("ann:s3cret"))
        assert executor.asked == 1
        for _ in range(2):
            with pytest.raises(CredentialsWrong):
                auth.authenticate(basic("ann:wrong"))
        assert executor.asked == 3
        clock.advance(60)
        auth.authenticate(basic("ann:s3cret"))
        assert executor.asked == 4


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann\n",
        "ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n",
        "ann:plain\n",
        "ann:$2y$31$" + "a" * 53 + "\n",
        ":$2y$05$" + "a" * 53 + "\n",
        2 * ("ann:$2y$05$" + "a" * 53 + "\n"),
        "carl:$2y$05$" + "a" * 53 + "\n",
    ],
)
def test_a_bad_file_stops_the_start(text: str, tmp_path: Path, executor: Executor) -> None:
    file = tmp_path / "htpasswd"
    file.write_text(text)
    with pytest.raises(ConfigInvalid):
        open_strategy(settings(file, users={"ann": BasicUser()}), executor, FakeClock())


def test_a_missing_file_and_missing_users_stop_the_start(file: Path, executor: Executor) -> None:
    with pytest.raises(ConfigInvalid, match="htpasswd -B"):
        open_strategy(settings(file.with_name("none")), executor, FakeClock())
    users = USERS | {"carl": BasicUser()}
    with pytest.raises(ConfigInvalid, match="carl"):
        open_strategy(settings(file, users=users), executor, FakeClock())
    with pytest.raises(ConfigInvalid, match="ann"):
        open_strategy(settings(file, users={"bøb": BasicUser()}), executor, FakeClock())


def test_a_401_tells_the_scheme(file: Path, executor: Executor) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(environ[CONTEXT_KEY].project_id).encode()]

    def error_body(error: KiloError, _status: HTTPStatus) -> tuple[bytes, str]:
        return error.code.encode(), "text/plain"

    options = GatewayOptions(service="test", error_body=error_body)
    web = Client(Gateway(app, options, opened(file, executor), HttpMetrics("test")))
    refused = web.get("/x", headers={"X-Project-Id": "red"})
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == 'Basic realm="Kilostack", charset="UTF-8"'
    assert web.get("/x", auth=("ann", "s3cret")).text == "red"
