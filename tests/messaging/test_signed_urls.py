"""Signed URLs: they permit what was signed, for as long as it was signed, and nothing else."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from kilo_common.errors import Unauthenticated
from kilo_common.http.auth import Identity
from kilo_common.runtime import Runtime
from kilo_common.testing.clock import FakeClock
from kilo_messaging import wiring
from kilo_messaging.config import MessagingSettings, SignedUrlSettings
from kilo_messaging.protocol.actions import ACTIONS
from kilo_messaging.protocol.connection import Connection
from kilo_messaging.protocol.core import Dispatcher
from kilo_messaging.protocol.session import Form, Session
from kilo_messaging.service.connection_subscriptions import ConnectionSubscriptions, PushLine
from kilo_messaging.service.following import Following
from kilo_messaging.service.push import PushHub
from kilo_messaging.service.sharing import SignedOrKnown
from kilo_messaging.storage.key_file import KeyFile, KeyUnavailable
from kilo_messaging.storage.memory.store import open_memory_store
from kilo_messaging.wiring import MessagingApi

KEY = "a key of many characters"
TOKEN = {"X-Auth-Token": "secret"}
OPEN = MessagingSettings(signed_urls=SignedUrlSettings(key=KEY))
Use = dict[str, str]


class TokenOnly:
    """A strategy that knows one token."""

    challenge = "Token"

    def authenticate(self, headers: Mapping[str, str]) -> Identity:
        if headers.get("x-auth-token") != "secret":
            raise Unauthenticated("a token is needed")
        return Identity("demo", "me", ("member",))


@pytest.fixture
def guarded(runtime: Runtime) -> MessagingApi:
    return wiring.build_over(open_memory_store(), OPEN, replace(runtime, auth=TokenOnly()))


@pytest.fixture
def client(guarded: MessagingApi, make_client: Callable[[MessagingApi], Client]) -> Client:
    return make_client(guarded)


def share(client: Client, collection: str = "topics", **wanted: Any) -> Use:
    answer = client.post(f"/v2/{collection}/q/share", json=wanted, headers=TOKEN)
    assert answer.status_code == 200, answer.text
    found = answer.json
    assert set(found) == {"paths", "methods", "project", "expires", "signature"}
    return {
        "URL-Paths": ",".join(found["paths"]),
        "URL-Methods": ",".join(found["methods"]),
        "URL-Expires": found["expires"],
        "URL-Signature": found["signature"],
        "X-Project-Id": found["project"],
    }


def test_a_signed_url_permits_what_was_signed_without_a_token(client: Client) -> None:
    use = share(client, methods=["GET", "POST"])
    posted = client.post("/v2/topics/q/messages", json={"messages": [{"body": 1}]}, headers=use)
    assert posted.status_code == 201
    assert client.get("/v2/topics/q/messages?echo=true", headers=use).json["messages"]
    assert client.head("/v2/topics/q/messages", headers=use).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/topics/q/messages"),
        ("GET", "/v2/topics/q2/messages"),
        ("GET", "/v2/topics/q/messages2"),
        ("GET", "/v2/queues/q/messages"),
        ("GET", "/v2/topics/q/claims/x"),
        ("GET", "/v2/topics/q"),
        ("GET", "/v2/topics/q/stats"),
        ("GET", "/v2/topics"),
        ("GET", "/v2/"),
        ("GET", "/v2/ping"),
        ("GET", "/v2/health"),
        ("POST", "/v2/topics/q/share"),
    ],
)
def test_it_permits_nothing_else(client: Client, method: str, path: str) -> None:
    answer = client.open(path, method=method, headers=share(client) | TOKEN)
    assert answer.status_code == 404
    assert answer.json["code"] == "messaging.signature_invalid"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("URL-Paths", "/v2/topics/other/messages"),
        ("URL-Paths", ""),
        ("URL-Methods", "GET,POST"),
        ("URL-Expires", "2099-01-01T00:00:00Z"),
        ("URL-Expires", ""),
        ("URL-Signature", "0" * 64),
        ("URL-Signature", ""),
        ("URL-Signature", "\xe9" * 64),
        ("X-Project-Id", "elsewhere"),
        ("X-Project-Id", ""),
    ],
)
def test_whoever_changes_it_has_nothing(client: Client, header: str, value: str) -> None:
    use = share(client) | {header: value}
    assert client.get("/v2/topics/q/messages", headers=use).status_code == 404


def test_it_expires(client: Client, clock: FakeClock) -> None:
    use = share(client)
    clock.advance(86399)
    assert client.get("/v2/topics/q/messages", headers=use).status_code == 200
    clock.advance(1)
    assert client.get("/v2/topics/q/messages", headers=use).status_code == 404


def test_an_expiry_of_its_own_is_kept_in_utc(client: Client) -> None:
    use = share(client, "queues", paths=["claims", "messages"], expires="2026-01-02T01:00:00+01:00")
    assert use["URL-Expires"] == "2026-01-02T00:00:00Z"
    assert use["URL-Paths"] == "/v2/queues/q/claims,/v2/queues/q/messages"


def test_without_a_signature_a_token_is_needed(client: Client) -> None:
    assert client.get("/v2/topics/q/messages").status_code == 401
    assert client.post("/v2/topics/q/share").status_code == 401


def test_another_key_signs_otherwise(
    client: Client, runtime: Runtime, make_client: Callable[[MessagingApi], Client]
) -> None:
    other = MessagingSettings(signed_urls=SignedUrlSettings(key="quite another secret key"))
    stranger = make_client(
        wiring.build_over(open_memory_store(), other, replace(runtime, auth=TokenOnly()))
    )
    assert stranger.get("/v2/topics/q/messages", headers=share(client)).status_code == 404


def test_over_websocket_it_permits_the_same(client: Client, guarded: MessagingApi) -> None:
    do = guarded.operations
    hub = next(service for service in guarded.services if isinstance(service, PushHub))
    following = next(each for each in guarded.services if isinstance(each, Following))
    nowhere = PushLine(lambda _frame: None, lambda _frame: True)
    auth = SignedOrKnown(TokenOnly(), KEY.encode, do.desk.now)
    connection = Connection(
        do.desk,
        Dispatcher(do, ACTIONS),
        auth,
        Session({}, echo_limit=100),
        ConnectionSubscriptions(do.desk, hub, following, nowhere, most=1),
    )
    use = share(client, methods=["POST"]) | {"Client-ID": "3381af92-2b9e-11e3-b191-71861300734c"}

    def status(action: str, topic: str, **body: Any) -> int:
        body |= {"topic_name": topic}
        request = {"action": action, "headers": use, "body": body}
        answer = json.loads(
            connection.run(connection.begin(json.dumps(request).encode(), Form.TEXT))
        )
        found: int = answer["headers"]["status"]
        return found

    assert status("message_post", "q", messages=[{"body": 1, "ttl": 60}]) == 201
    assert status("message_post", "other", messages=[{"body": 1, "ttl": 60}]) == 404
    for action in ("message_list", "claim_create", "topic_delete", "topic_share", "authenticate"):
        assert status(action, "q") == 404
    assert status("subscription_create", "q") == 404
    use |= share(client, methods=["POST"], paths=["subscriptions"])
    assert status("subscription_create", "q") == 201
    # To be told of what comes is not to read what was posted before.
    assert status("subscription_create", "q", cursor="start") == 404
    use |= share(client, methods=["GET", "POST"], paths=["messages", "subscriptions"])
    assert status("subscription_create", "q", cursor="start") == 201


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key = KeyFile(path)()
    assert len(key) == 32
    assert KeyFile(path)() == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("content", ["", "00", "no hexadecimal"])
def test_a_key_that_is_none_is_not_used(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    with pytest.raises(KeyUnavailable):
        KeyFile(path)()


def test_a_key_that_cannot_be_made_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(KeyUnavailable, match="signed_urls"):
        KeyFile(tmp_path / "missing" / "key")()


def test_a_stream_may_have_its_signed_url_in_the_query_and_nothing_else_may(
    client: Client,
) -> None:
    use = share(client, methods=["GET"])
    names = {name: text for name, text in use.items() if name.startswith(("URL-", "X-Project"))}
    path = "/v2/topics/q/messages"
    stream = {"Accept": "text/event-stream"}
    assert client.head(path, query_string=names, headers=stream).status_code == 200
    assert client.get(path, query_string=names).status_code == 401
    other = names | {"URL-Paths": "/v2/topics/other/messages"}
    assert client.head(path, query_string=other, headers=stream).status_code == 404
    elsewhere = client.head("/v2/topics/other/messages", query_string=names, headers=stream)
    assert elsewhere.status_code == 404
