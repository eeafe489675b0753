"""The strategy `keystone`, with keystonemiddleware as it is, against an Identity API v3."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kilo_common.clock import SystemClock
from kilo_common.errors import ConfigInvalid, Unauthenticated, Unavailable
from kilo_common.http.auth import AuthStrategy, Identity, open_strategy
from kilo_common.settings import AuthSettings, KeystoneSettings
from kilo_deploy.accounts import sign_in
from kilo_deploy.client import ApiClient, RequestRefused
from kilo_deploy.state import StackInfo
from kilo_deploy.testing import StackProcess

# oslo's libraries still use what Python 3.12 deprecates, and say so themselves.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module", autouse=True)
def middleware() -> None:
    if os.environ.get("CI") != "true":
        pytest.importorskip("keystonemiddleware", reason="needs kilostack[keystone]")


@pytest.fixture(scope="module")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackInfo]:
    """A stack whose identity service is the Keystone of others."""
    stack = StackProcess(tmp_path_factory.mktemp("keystone") / "state", ["--auth", "dev"])
    try:
        yield stack.wait_ready()
    finally:
        stack.kill()


def opened(keystone: StackInfo, **changes: Any) -> AuthStrategy:
    settings = {
        "auth_url": f"{keystone.identity_url}/v3",
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


def test_a_token_of_keystone_says_who_asks(keystone: StackInfo) -> None:
    auth = opened(keystone)
    headers = {name.lower(): text for name, text in sign_in(keystone, "demo", {}).items()}
    for _ in range(2):
        found = auth.authenticate(headers | {"x-project-id": "alt", "x-roles": "x"})
        assert (found.project_id, found.user_id) == ("demo", "admin")
        assert set(found.roles) == {"admin", "manager", "member", "reader"}
    alt = {name.lower(): text for name, text in sign_in(keystone, "alt", {}).items()}
    assert auth.authenticate(alt) == Identity("alt", "alt", ("member", "reader"))
    assert auth.challenge == 'Keystone uri="https://identity.example/v3"'


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
    headers: dict[str, str], keystone: StackInfo
) -> None:
    with pytest.raises(Unauthenticated):
        opened(keystone).authenticate(headers)


def test_a_token_for_no_project_is_refused(keystone: StackInfo) -> None:
    user = {"name": "demo", "password": "demo", "domain": {"id": "default"}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
    identity = ApiClient(keystone.identity_url, {})
    token = identity.post_for_header("/v3/auth/tokens", body, "X-Subject-Token")
    with pytest.raises(Unauthenticated, match="no project"):
        opened(keystone).authenticate({"x-auth-token": token})


def test_a_keystone_that_does_not_answer_is_a_503(keystone: StackInfo) -> None:
    headers = {name.lower(): text for name, text in sign_in(keystone, "demo", {}).items()}
    for changes in ({"auth_url": "http://127.0.0.1:1/v3"}, {"password": "wrong"}):
        with pytest.raises(Unavailable):
            opened(keystone, **changes).authenticate(headers)


def test_it_must_be_said_where_keystone_is(keystone: StackInfo) -> None:
    for missing in ("auth_url", "username", "password"):
        with pytest.raises(ConfigInvalid, match=missing):
            opened(keystone, **{missing: ""})


def test_a_stack_trusts_the_keystone_of_its_configuration(
    keystone: StackInfo, tmp_path: Path
) -> None:
    config = tmp_path / "kilo.toml"
    config.write_text(
        f'[auth]\nstrategy = "keystone"\n[auth.keystone]\nauth_url = "{keystone.identity_url}/v3"\n'
        'username = "kilostack"\npassword = "kilostack"\n'
    )
    stack = StackProcess(tmp_path / "state", ["--config", str(config)])
    try:
        info = stack.wait_ready()
        token = sign_in(keystone, "alt", {})["X-Auth-Token"]
        catalog = ApiClient(info.catalog_url, sign_in(info, "alt", {"OS_TOKEN": token}))
        assert catalog.json("POST", "/v2/images", {"name": "x"})["owner"] == "alt"
        with pytest.raises(RequestRefused, match="401"):
            ApiClient(info.catalog_url, {"X-Auth-Token": "x"}).json("GET", "/v2/images")
        assert keystone.identity_url in (tmp_path / "state" / "clouds.yaml").read_text()
    finally:
        stack.kill()
