"""The WebSocket session, frame by frame, without a socket."""

import json
from collections.abc import Mapping
from itertools import count
from typing import Any

import msgspec
import pytest

from kilo_common.errors import Unauthenticated, Unavailable
from kilo_common.http.auth import AuthStrategy, Identity
from kilo_common.runtime import Runtime
from kilo_messaging.protocol.actions import ACTIONS
from kilo_messaging.protocol.connection import Connection
from kilo_messaging.protocol.core import Dispatcher
from kilo_messaging.protocol.session import Form, Phase, Session, render
from kilo_messaging.service.connection_subscriptions import ConnectionSubscriptions, PushLine
from kilo_messaging.service.following import Following
from kilo_messaging.service.push import PushHub
from kilo_messaging.wiring import MessagingApi

NOWHERE = PushLine(lambda _frame: None, lambda _frame: True)
HEADERS = {"Client-ID": "3381af92-2b9e-11e3-b191-71861300734c", "X-Project-ID": "demo"}


@pytest.fixture
def session() -> Session:
    return Session({}, echo_limit=100)


def connect(api: MessagingApi, auth: AuthStrategy, session: Session) -> Connection:
    desk = api.operations.desk
    hub = next(service for service in api.services if isinstance(service, PushHub))
    following = next(each for each in api.services if isinstance(each, Following))
    subscriptions = ConnectionSubscriptions(desk, hub, following, NOWHERE, most=10)
    dispatcher = Dispatcher(api.operations, ACTIONS)
    return Connection(desk, dispatcher, auth, session, subscriptions)


@pytest.fixture
def connection(api: MessagingApi, runtime: Runtime, session: Session) -> Connection:
    return connect(api, runtime.auth, session)


class Tokens:
    """An auth strategy that knows some tokens."""

    challenge = ""

    def __init__(self, *good: str) -> None:
        self.good = set(good)
        self.is_silent = False

    def authenticate(self, headers: Mapping[str, str]) -> Identity:
        if self.is_silent:
            raise Unavailable("nobody answers")
        if headers.get("x-auth-token") not in self.good:
            raise Unauthenticated("a token is needed")
        return Identity(headers.get("x-project-id", "demo"), "me", ("member",))


def ask(connection: Connection, request: Any) -> Any:
    text = request if isinstance(request, bytes) else json.dumps(request).encode()
    return json.loads(connection.run(connection.begin(text, Form.TEXT)))


def status(connection: Connection, action: str, **body: Any) -> int:
    answer = ask(connection, {"action": action, "headers": HEADERS, "body": body})
    found: int = answer["headers"]["status"]
    return found


def test_the_answer_repeats_the_request_and_its_id(connection: Connection) -> None:
    request = {"action": "queue_create", "headers": HEADERS, "body": {"queue_name": "q"}}
    assert ask(connection, request | {"request_id": "r1"}) == {
        "request": request | {"api": "v2"},
        "body": None,
        "headers": {"status": 201},
        "request_id": "r1",
    }


def test_what_is_repeated_is_bounded_and_holds_no_secrets(connection: Connection) -> None:
    headers = HEADERS | {"X-Auth-Token": "secret", "X-Long": "x" * 5000}
    body = {"queue_name": "q", "messages": [{"body": "x" * 1000}]}
    answer = ask(connection, {"action": "message_post", "headers": headers, "body": body})
    assert answer["headers"] == {"status": 201}
    assert answer["request"]["body"] == {}
    assert "X-Auth-Token" not in answer["request"]["headers"]
    assert len(answer["request"]["headers"]["X-Long"]) == 256


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"[]",
        b"{",
        b"1",
        b"\xff",
        b'{"action": 1}',
        b"{}x",
        b'{"headers": {}}',
        b'{"action": "queue_list", "body": []}',
        b'{"action": "queue_list", "headers": {"Client-ID": 5}}',
        b'{"action": "queue_list", "request_id": {}}',
        b'{"action": "queue_list", "body": ' + b"[" * 9999 + b"]" * 9999 + b"}",
    ],
    ids=count(),  # gabbi takes a test with a colon in its name for its own
)
def test_a_frame_that_is_no_request_is_answered_with_400(
    connection: Connection, frame: bytes
) -> None:
    answer = ask(connection, frame)
    assert answer["headers"] == {"status": 400}
    assert set(answer["body"]) == {"error", "title", "code"}


@pytest.mark.parametrize(
    ("action", "body", "expected"),
    [
        ("unknown", {}, 400),
        ("queue_create", {}, 400),
        ("queue_create", {"queue_name": 5}, 400),
        ("queue_create", {"queue_name": "q", "metadata": []}, 400),
        ("message_post", {"queue_name": "q"}, 400),
        ("message_post", {"queue_name": "q", "messages": [{"body": 1, "ttl": 1}]}, 400),
        ("message_list", {"queue_name": "q", "limit": "5"}, 400),
        ("message_get", {"queue_name": "q"}, 400),
        ("message_get", {"queue_name": "q", "message_id": "a\x00"}, 400),
        ("message_get", {"queue_name": "q", "message_id": "unknown"}, 404),
        ("message_delete_many", {"queue_name": "q"}, 400),
        ("claim_create", {"queue_name": "q", "ttl": 5}, 400),
        ("claim_get", {"queue_name": "q", "claim_id": "unknown"}, 404),
        ("subscription_create", {"queue_name": "q", "ttl": 5}, 400),
        ("subscription_create", {"queue_name": "q", "subscriber": "ftp://x"}, 400),
        ("subscription_get", {"queue_name": "q", "subscription_id": "x"}, 404),
        ("subscription_delete", {"queue_name": "q", "subscription_id": "x"}, 204),
    ],
)
def test_a_bad_request_has_the_status_it_has_in_http(
    connection: Connection, action: str, body: dict[str, Any], expected: int
) -> None:
    assert status(connection, action, **body) == expected


def test_a_project_that_no_database_can_keep_is_refused(connection: Connection) -> None:
    headers = HEADERS | {"X-Project-ID": "a\x00b"}
    answer = ask(connection, {"action": "queue_list", "headers": headers})
    assert answer["headers"] == {"status": 400}


def test_every_action_can_be_asked_for(connection: Connection) -> None:
    assert status(connection, "topic_create", topic_name="t", metadata={"a": 1}) == 201
    patch = [{"op": "replace", "path": "/metadata/a", "value": 2}]
    assert status(connection, "topic_update", topic_name="t", metadata=patch) == 200
    body = {"queue_name": "t", "messages": [{"body": number} for number in range(5)]}
    posted = ask(connection, {"action": "message_post", "headers": HEADERS, "body": body})
    first, second, *_ = posted["body"]["message_ids"]
    assert status(connection, "message_get", topic_name="t", message_id=first) == 200
    assert status(connection, "message_get_many", topic_name="t", message_ids=[first]) == 200
    assert status(connection, "message_delete", topic_name="t", message_id=first) == 204
    assert status(connection, "message_delete_many", topic_name="t", message_ids=[second]) == 204
    claim = ask(
        connection,
        {"action": "claim_create", "headers": HEADERS, "body": {"queue_name": "t", "limit": 1}},
    )
    claim_id = claim["body"]["claim_id"]
    assert status(connection, "claim_get", topic_name="t", claim_id=claim_id) == 200
    assert status(connection, "claim_update", topic_name="t", claim_id=claim_id, ttl=90) == 204
    assert status(connection, "claim_delete", topic_name="t", claim_id=claim_id) == 204
    assert status(connection, "message_delete_many", topic_name="t", pop=1) == 200
    assert status(connection, "message_list", topic_name="t", echo=True) == 200
    assert status(connection, "queue_get_stats", queue_name="t") == 200
    assert status(connection, "queue_purge", queue_name="t") == 204
    assert status(connection, "queue_get", queue_name="t") == 200
    assert status(connection, "topic_list") == 200
    assert status(connection, "check_node_health") == 200
    assert status(connection, "subscription_list", queue_name="t") == 200
    assert status(connection, "queue_delete", queue_name="t") == 204


def test_who_authenticated_need_not_repeat_it(connection: Connection, session: Session) -> None:
    assert ask(connection, {"action": "queue_list"})["headers"] == {"status": 400}
    assert status(connection, "authenticate") == 200
    assert session.phase is Phase.AUTHENTICATED
    assert ask(connection, {"action": "queue_list"})["headers"] == {"status": 200}


def test_pushes_have_the_form_of_the_last_subscription(
    connection: Connection, session: Session
) -> None:
    assert session.push_form is Form.TEXT
    request = {"action": "subscription_create", "headers": HEADERS, "body": {"queue_name": "q"}}
    answer = connection.run(connection.begin(msgspec.msgpack.encode(request), Form.BINARY))
    assert msgspec.msgpack.decode(answer)["headers"] == {"status": 201}
    assert session.push_form is Form.BINARY


def test_numbers_that_messagepack_cannot_say_become_the_nearest_it_can() -> None:
    text = b'{"big": 123456789012345678901234567890, "fits": 18446744073709551615, "far": 1e999}'
    assert msgspec.msgpack.decode(render(text, Form.BINARY)) == {
        "big": pytest.approx(1.2345678901234568e29),
        "fits": 2**64 - 1,
        "far": float("inf"),
    }


def test_a_closed_session_stays_closed(session: Session) -> None:
    session.move(Phase.CLOSED)
    with pytest.raises(ValueError, match="closed"):
        session.move(Phase.OPEN)


def as_holder(token: str, action: str, project: str = "demo", **body: Any) -> Any:
    headers = HEADERS | {"X-Auth-Token": token, "X-Project-ID": project}
    return {"action": action, "headers": headers, "body": body}


def test_who_authenticated_is_known_as_long_as_the_token_is(
    api: MessagingApi, session: Session
) -> None:
    tokens = Tokens("first", "second")
    connection = connect(api, tokens, session)
    assert connection.is_known()
    ask(connection, as_holder("first", "authenticate"))
    tokens.good.remove("first")
    assert not connection.is_known()
    assert ask(connection, as_holder("first", "authenticate"))["headers"] == {"status": 401}
    ask(connection, as_holder("second", "authenticate"))
    assert connection.is_known()
    tokens.is_silent = True
    assert connection.is_known()


def test_a_subscription_rests_on_the_token_it_was_made_with(
    api: MessagingApi, session: Session
) -> None:
    tokens = Tokens("first", "second", "other")
    connection = connect(api, tokens, session)
    made = ask(connection, as_holder("first", "subscription_create", topic_name="q"))
    tokens.good.remove("first")
    assert not connection.is_known()
    # Another project's token is none of its business; a new one of its own project keeps it.
    ask(connection, as_holder("other", "authenticate", project="elsewhere"))
    assert not connection.is_known()
    ask(connection, as_holder("second", "authenticate"))
    assert connection.is_known()
    tokens.good.remove("second")
    tokens.good.add("third")
    ask(connection, as_holder("third", "authenticate"))
    subscription_id = made["body"]["subscription_id"]
    ask(
        connection,
        as_holder("third", "subscription_delete", topic_name="q", subscription_id=subscription_id),
    )
    assert connection.is_known()
