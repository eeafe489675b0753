"""The strategy `keystone`: keystonemiddleware as it is, against a real Keystone."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from uuid import uuid4

import pytest

from kilo_common.clock import SystemClock
from kilo_common.errors import ConfigInvalid, Unauthenticated, Unavailable
from kilo_common.http.auth import AuthStrategy, open_strategy
from kilo_common.settings import AuthSettings, KeystoneSettings
from kilo_deploy.accounts import sign_in
from kilo_deploy.client import ApiClient, RequestRefused
from kilo_deploy.testing import StackProcess
from support.keystone import KeystoneProcess
from support.sinks import web_sink

# oslo's libraries still use what Python 3.12 deprecates, and say so themselves.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module", autouse=True)
def middleware() -> None:
    if os.environ.get("CI") != "true":
        pytest.importorskip("keystonemiddleware", reason="needs kilostack[keystone]")


@pytest.fixture(scope="module")
def keystone(
    keystone_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KeystoneProcess]:
    """A Keystone with a user for services and two tenants."""
    process = KeystoneProcess(keystone_folder, tmp_path_factory.mktemp("keystone"))
    try:
        process.add_user("kilostack", "service", "service")
        process.add_user("demo", "demo", "admin")
        process.add_user("alt", "alt", "member")
        yield process
    finally:
        process.stop()


def signed_in(keystone: KeystoneProcess, user: str) -> dict[str, str]:
    """The headers of the user that has the same name as its project, as a strategy sees them."""
    return {"x-auth-token": keystone.sign_in(user, user, user)}


def project_id(keystone: KeystoneProcess, name: str) -> str:
    found = keystone.ask("GET", f"projects?name={name}")["projects"]
    return str(found[0]["id"])


def opened(keystone: KeystoneProcess, **changes: Any) -> AuthStrategy:
    settings = {
        "auth_url": f"{keystone.url}/v3",
        "public_url": "https://identity.example/v3",
        "username": "kilostack",
        "password": "kilostack",
    }
    known = KeystoneSettings(**(settings | changes))
    # The executor is for strategies that compute; this one does not.
    return open_strategy(
        AuthSettings(strategy="keystone", keystone=known),
        None,  # type: ignore[arg-type]
        SystemClock(),
    )


def test_a_token_of_keystone_says_who_asks(keystone: KeystoneProcess) -> None:
    auth = opened(keystone)
    for _ in range(2):
        found = auth.authenticate(
            signed_in(keystone, "demo") | {"x-project-id": "alt", "x-roles": "x"}
        )
        assert found.project_id == project_id(keystone, "demo")
        assert set(found.roles) == {"admin", "manager", "member", "reader"}
    found = auth.authenticate(signed_in(keystone, "alt"))
    assert found.project_id == project_id(keystone, "alt")
    assert set(found.roles) == {"member", "reader"}
    assert auth.challenge == 'Keystone uri="https://identity.example/v3"'


def test_a_token_that_keystone_has_taken_back_is_refused(keystone: KeystoneProcess) -> None:
    headers = signed_in(keystone, "alt")
    auth = opened(keystone, remember=-1)
    auth.authenticate(headers)
    own = {"X-Auth-Token": headers["x-auth-token"], "X-Subject-Token": headers["x-auth-token"]}
    ApiClient(keystone.url, own).json("DELETE", "/v3/auth/tokens")
    with pytest.raises(Unauthenticated):
        auth.authenticate(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-auth-token": ""},
        {"x-auth-token": "nonsense"},
        {"x-auth-token": "a\nb"},
        {"x-auth-token": "\u00e4"},
        {"x-project-id": "demo", "x-identity-status": "Confirmed"},
        {"x-service-token": "nonsense"},
    ],
)
def test_what_keystone_does_not_know_is_refused(
    headers: dict[str, str], keystone: KeystoneProcess
) -> None:
    with pytest.raises(Unauthenticated):
        opened(keystone).authenticate(headers)


def test_a_token_for_no_project_is_refused(keystone: KeystoneProcess) -> None:
    token = keystone.sign_in("demo", "demo", None)
    with pytest.raises(Unauthenticated, match="no project"):
        opened(keystone).authenticate({"x-auth-token": token})


def test_a_keystone_that_does_not_answer_is_a_503(keystone: KeystoneProcess) -> None:
    headers = signed_in(keystone, "demo")
    for changes in ({"auth_url": "http://127.0.0.1:1/v3"}, {"password": "wrong"}):
        with pytest.raises(Unavailable):
            opened(keystone, **changes).authenticate(headers)


def test_it_must_be_said_where_keystone_is(keystone: KeystoneProcess) -> None:
    for missing in ("auth_url", "username", "password"):
        with pytest.raises(ConfigInvalid, match=missing):
            opened(keystone, **{missing: ""})


def stack_of(keystone: KeystoneProcess, folder: Path) -> StackProcess:
    """A stack that believes that Keystone."""
    config = folder / "kilo.toml"
    config.write_text(
        f'[auth]\nstrategy = "keystone"\n[auth.keystone]\nauth_url = "{keystone.url}/v3"\n'
        'username = "kilostack"\npassword = "kilostack"\n'
        "[messaging.deliveries.fetch]\nallow_loopback = true\n"
    )
    return StackProcess(folder / "state", ["--config", str(config)])


def test_a_stack_trusts_the_keystone_of_its_configuration(
    keystone: KeystoneProcess, tmp_path: Path
) -> None:
    stack = stack_of(keystone, tmp_path)
    try:
        info = stack.wait_ready()
        token = keystone.sign_in("alt", "alt", "alt")
        catalog = ApiClient(info.catalog_url, sign_in(info, "alt", {"OS_TOKEN": token}))
        assert catalog.json("POST", "/v2/images", {"name": "x"})["owner"] == project_id(
            keystone, "alt"
        )
        with pytest.raises(RequestRefused, match="401"):
            ApiClient(info.catalog_url, {"X-Auth-Token": "x"}).json("GET", "/v2/images")
        assert keystone.url in (tmp_path / "state" / "clouds.yaml").read_text()
    finally:
        stack.kill()


def test_a_webhook_with_a_trust_gets_a_token_of_who_subscribed(
    keystone: KeystoneProcess, tmp_path: Path
) -> None:
    stack = stack_of(keystone, tmp_path)
    try:
        info = stack.wait_ready()
        token = keystone.sign_in("alt", "alt", "alt")
        service = ApiClient(info.messaging_url, {"X-Auth-Token": token, "Client-ID": str(uuid4())})
        with web_sink() as sink:
            made = service.json(
                "POST", "/v2/topics/t/subscriptions", {"subscriber": f"trust+{sink.url}/x"}
            )
            path = f"/v2/topics/t/subscriptions/{made['subscription_id']}"
            trust_id = service.json("GET", path)["options"]["trust_id"]
            keystone.ask("GET", f"OS-TRUST/trusts/{trust_id}")
            service.json("POST", "/v2/topics/t/messages", {"messages": [{"body": 1}]})
            wait_for(lambda: bool(sink.requests))
            (received,) = sink.requests
        who = opened(keystone).authenticate({"x-auth-token": received.headers["x-auth-token"]})
        assert who.project_id == project_id(keystone, "alt")
        assert "member" in who.roles
        assert received.headers["x-auth-token"] != token
        service.json("DELETE", path)
        with pytest.raises(HTTPError, match="404"):
            keystone.ask("GET", f"OS-TRUST/trusts/{trust_id}")
    finally:
        stack.kill()


def wait_for(true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for what happens in another process."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
