"""Every action of the API, the same way over HTTP and over WebSocket: one suite for both.

A scenario says what it wants by the action's name and the keys of a WebSocket body. Over HTTP the
same goes to the action's path, and from the answer the hrefs are left out, which only HTTP has.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import Client

from kilo_common.runtime import Runtime
from kilo_messaging.protocol.actions import ACTIONS
from kilo_messaging.protocol.connection import Connection
from kilo_messaging.protocol.core import Dispatcher
from kilo_messaging.protocol.session import Form, Session
from kilo_messaging.service.connection_subscriptions import ConnectionSubscriptions, PushLine
from kilo_messaging.service.following import Following
from kilo_messaging.service.push import PushHub
from kilo_messaging.wiring import MessagingApi

CLIENT_ID = "3381af92-2b9e-11e3-b191-71861300734c"
PATCH = "application/openstack-messaging-v2.0-json-patch"
HTTP: dict[str, tuple[str, str]] = {
    "queue_list": ("GET", "/v2/queues"),
    "queue_create": ("PUT", "/v2/queues/{queue_name}"),
    "queue_get": ("GET", "/v2/queues/{queue_name}"),
    "queue_update": ("PATCH", "/v2/queues/{queue_name}"),
    "queue_delete": ("DELETE", "/v2/queues/{queue_name}"),
    "queue_get_stats": ("GET", "/v2/queues/{queue_name}/stats"),
    "queue_purge": ("POST", "/v2/queues/{queue_name}/purge"),
    "queue_share": ("POST", "/v2/queues/{queue_name}/share"),
    "queue_redrive": ("POST", "/v2/queues/{queue_name}/redrive"),
    "message_post": ("POST", "/v2/queues/{queue_name}/messages"),
    "message_list": ("GET", "/v2/queues/{queue_name}/messages"),
    "message_get": ("GET", "/v2/queues/{queue_name}/messages/{message_id}"),
    "message_get_many": ("GET", "/v2/queues/{queue_name}/messages"),
    "message_delete": ("DELETE", "/v2/queues/{queue_name}/messages/{message_id}"),
    "message_delete_many": ("DELETE", "/v2/queues/{queue_name}/messages"),
    "claim_create": ("POST", "/v2/queues/{queue_name}/claims"),
    "claim_get": ("GET", "/v2/queues/{queue_name}/claims/{claim_id}"),
    "claim_update": ("PATCH", "/v2/queues/{queue_name}/claims/{claim_id}"),
    "claim_delete": ("DELETE", "/v2/queues/{queue_name}/claims/{claim_id}"),
    "subscription_list": ("GET", "/v2/queues/{queue_name}/subscriptions"),
    "subscription_create": ("POST", "/v2/queues/{queue_name}/subscriptions"),
    "subscription_get": ("GET", "/v2/queues/{queue_name}/subscriptions/{subscription_id}"),
    "subscription_update": ("PATCH", "/v2/queues/{queue_name}/subscriptions/{subscription_id}"),
    "subscription_delete": ("DELETE", "/v2/queues/{queue_name}/subscriptions/{subscription_id}"),
    "subscription_confirm": (
        "PUT",
        "/v2/queues/{queue_name}/subscriptions/{subscription_id}/confirm",
    ),
    "subscription_rotate_key": (
        "POST",
        "/v2/queues/{queue_name}/subscriptions/{subscription_id}/key",
    ),
    "subscription_attempts": (
        "GET",
        "/v2/queues/{queue_name}/subscriptions/{subscription_id}/attempts",
    ),
    "subscription_deliveries": (
        "GET",
        "/v2/queues/{queue_name}/subscriptions/{subscription_id}/deliveries",
    ),
    "subscription_redeliver": (
        "POST",
        "/v2/queues/{queue_name}/subscriptions/{subscription_id}/redeliver",
    ),
    "ping_node": ("GET", "/v2/ping"),
    "check_node_health": ("GET", "/v2/health"),
}
IN_QUERY = frozenset({"limit", "wait"})
"""What stands in the URL of a POST."""
OPERATORS = ("pool_", "flavor_", "test_clock_", "topic_placement", "topic_move")
"""Actions of operators, which have a suite of their own."""
Answer = tuple[int, Any]


class Caller(ABC):
    """Somebody who uses the API."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def __call__(self, action: str, **body: Any) -> Answer:
        self.asked.add(action)
        status, answer = self.call(action, body)
        return status, _plain(answer)

    @abstractmethod
    def call(self, action: str, body: dict[str, Any]) -> Answer:
        """Status and body of the answer."""


def _plain(answer: Any) -> Any:
    """An answer without what only one of the two has: links, hrefs and the claim in them."""
    if isinstance(answer, list):
        return [_plain(each) for each in answer]
    if not isinstance(answer, dict):
        return answer
    left_out = {"links", "href", "claim_id", "claim_count", "marker", "message"}
    return {key: _plain(each) for key, each in answer.items() if key not in left_out}


class OverHttp(Caller):
    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client

    def call(self, action: str, body: dict[str, Any]) -> Answer:
        method, template = HTTP[action]
        path = template.format_map({name: str(text) for name, text in body.items()})
        rest = {key: each for key, each in body.items() if f"{{{key}}}" not in template}
        document = rest.pop("metadata", None)
        if "message_ids" in rest:
            rest["ids"] = ",".join(rest.pop("message_ids"))
        if method in ("GET", "DELETE"):
            query, document = rest, None
        else:
            query = {key: each for key, each in rest.items() if key in IN_QUERY}
            rest = {key: each for key, each in rest.items() if key not in IN_QUERY}
            document = rest if document is None else document
        answer = self._client.open(
            path,
            method=method,
            query_string={key: _text(each) for key, each in query.items()},
            data=None if document is None else json.dumps(document),
            content_type=PATCH if action == "queue_update" else "application/json",
        )
        found = answer.json if answer.data else None
        if answer.status_code == 201 and found is not None and "resources" in found:
            found = {"message_ids": [each.rpartition("/")[2] for each in found["resources"]]}
        return answer.status_code, found


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


class OverWebSocket(Caller):
    def __init__(self, api: MessagingApi, runtime: Runtime) -> None:
        super().__init__()
        do = api.operations
        hub = next(each for each in api.services if isinstance(each, PushHub))
        following = next(each for each in api.services if isinstance(each, Following))
        nowhere = PushLine(lambda _frame: None, lambda _frame: True)
        own = ConnectionSubscriptions(do.desk, hub, following, nowhere, most=1)
        session = Session({"client-id": CLIENT_ID}, echo_limit=0)
        self._connection = Connection(do.desk, Dispatcher(do, ACTIONS), runtime.auth, session, own)

    def call(self, action: str, body: dict[str, Any]) -> Answer:
        frame = json.dumps({"action": action, "body": body}).encode()
        answer = json.loads(self._connection.run(self._connection.begin(frame, Form.TEXT)))
        return answer["headers"]["status"], answer["body"]


@pytest.fixture(params=["http", "websocket"])
def call(
    request: pytest.FixtureRequest,
    sql_api: MessagingApi,
    runtime: Runtime,
    make_client: Callable[[MessagingApi], Client],
) -> Caller:
    if request.param == "http":
        return OverHttp(make_client(sql_api))
    return OverWebSocket(sql_api, runtime)


def topics(call: Caller) -> None:
    assert call("queue_create", queue_name="t", metadata={"color": "red"}) == (201, None)
    assert call("queue_create", queue_name="t", metadata={"color": "blue"}) == (204, None)
    status, metadata = call("queue_get", queue_name="t")
    assert (status, metadata["color"]) == (200, "red")
    patch = [{"op": "replace", "path": "/metadata/color", "value": "green"}]
    status, metadata = call("queue_update", queue_name="t", metadata=patch)
    assert (status, metadata["color"]) == (200, "green")
    missing = [{"op": "remove", "path": "/metadata/size"}]
    assert call("queue_update", queue_name="t", metadata=missing)[0] == 409
    assert call("queue_list", limit=5) == (200, {"queues": [{"name": "t"}]})
    status, found = call("queue_list", with_count=True, detailed=True)
    assert (status, found["count"]) == (200, 1)
    assert found["queues"][0]["metadata"]["color"] == "green"
    status, shared = call("queue_share", queue_name="t", paths=["messages"], methods=["GET"])
    assert (status, shared["paths"]) == (200, ["/v2/queues/t/messages"])
    assert call("queue_get_stats", queue_name="t")[1]["messages"]["total"] == 0
    assert call("queue_delete", queue_name="t") == (204, None)
    assert call("queue_create", queue_name="a b")[0] == 400


def messages(call: Caller) -> None:
    drafts = [{"body": {"n": n}, "ttl": 60, "attributes": {"k": "v"}} for n in range(4)]
    status, posted = call("message_post", queue_name="q", messages=drafts)
    ids = posted["message_ids"]
    assert (status, len(ids)) == (201, 4)
    status, page = call("message_list", queue_name="q", echo=True, limit=3)
    assert status == 200
    assert page["messages"] == [
        {"id": ids[n], "ttl": 60, "age": 0, "body": {"n": n}, "attributes": {"k": "v"}}
        for n in range(3)
    ]
    assert call("message_list", queue_name="q")[1]["messages"] == []
    status, one = call("message_get_many", queue_name="q", message_ids=ids[:2])
    assert (status, [each["id"] for each in one["messages"]]) == (200, ids[:2])
    assert call("message_get", queue_name="q", message_id=ids[0])[0] == 200
    assert call("message_delete", queue_name="q", message_id=ids[0]) == (204, None)
    assert call("message_get", queue_name="q", message_id=ids[0])[0] == 404
    assert call("message_delete_many", queue_name="q", message_ids=[ids[1]]) == (204, None)
    status, popped = call("message_delete_many", queue_name="q", pop=1)
    assert (status, [each["id"] for each in popped["messages"]]) == (200, [ids[2]])
    assert call("message_delete_many", queue_name="q")[0] == 400
    assert call("queue_purge", queue_name="q", resource_types=["messages"]) == (204, None)
    assert call("message_list", queue_name="q", echo=True)[1]["messages"] == []
    for wrong in ([], [{"ttl": 60}], [{"body": 1, "ttl": 59}], [{"body": 1, "delay": 901}]):
        assert call("message_post", queue_name="q", messages=wrong)[0] == 400
    assert call("message_list", queue_name="q", limit=21)[0] == 400
    assert call("message_list", queue_name="q", wait=21)[0] == 400


def claims(call: Caller) -> None:
    call("message_post", queue_name="q", messages=[{"body": n, "ttl": 60} for n in range(3)])
    assert call("claim_create", queue_name="empty") == (204, None)
    status, held = call("claim_create", queue_name="q", limit=2, ttl=60, grace=60)
    assert (status, [each["body"] for each in held["messages"]]) == (201, [0, 1])
    _status, stats = call("queue_get_stats", queue_name="q")
    assert (stats["messages"]["claimed"], stats["messages"]["free"]) == (2, 1)
    assert call("message_delete", queue_name="q", message_id=held["messages"][0]["id"])[0] == 403
    claim_id = claim_of(call)
    status, shown = call("claim_get", queue_name="q", claim_id=claim_id)
    assert (status, shown["ttl"], len(shown["messages"])) == (200, 60, 2)
    assert call("claim_update", queue_name="q", claim_id=claim_id, ttl=90, grace=60) == (204, None)
    assert call("claim_get", queue_name="q", claim_id=claim_id)[1]["ttl"] == 90
    gone = held["messages"][0]["id"]
    deleted = call("message_delete", queue_name="q", message_id=gone, claim_id=claim_id)
    assert deleted == (204, None)
    assert call("claim_delete", queue_name="q", claim_id=claim_id) == (204, None)
    assert call("claim_get", queue_name="q", claim_id=claim_id)[0] == 404
    assert call("claim_update", queue_name="q", claim_id=claim_id, ttl=60, grace=60)[0] == 404
    assert call("claim_create", queue_name="q", ttl=5)[0] == 400
    assert call("claim_create", queue_name="q", limit=0)[0] == 400
    _status, freed = call("claim_create", queue_name="q", limit=5)
    assert [each["body"] for each in freed["messages"]] == [1, 2]


def claim_of(call: Caller) -> str:
    """The claim that holds the oldest message of the topic."""
    _status, stats = call.call("queue_get_stats", {"queue_name": "q"})
    found: str = stats["messages"]["oldest"]["claim_id"]
    return found


def dead_letters(call: Caller) -> None:
    rules = {"_max_claim_count": 1, "_dead_letter_queue": "dead"}
    call("queue_create", queue_name="dead")
    assert call("queue_create", queue_name="q", metadata=rules)[0] == 201
    call("message_post", queue_name="q", messages=[{"body": 1, "ttl": 60}])
    call("claim_create", queue_name="q")
    call("claim_delete", queue_name="q", claim_id=claim_of(call))
    assert call("claim_create", queue_name="q") == (204, None)
    assert call("queue_get_stats", queue_name="dead")[1]["messages"]["total"] == 1
    assert call("queue_redrive", queue_name="dead") == (200, {"redriven": 1})
    assert call("queue_get_stats", queue_name="q")[1]["messages"]["free"] == 1


def subscriptions(call: Caller) -> None:
    call("queue_create", queue_name="copies")
    wanted = {"subscriber": "topic:copies", "ttl": 600, "options": {}}
    status, made = call("subscription_create", queue_name="s", **wanted)
    assert status == 201
    one = {"queue_name": "s", "subscription_id": made["subscription_id"]}
    status, shown = call("subscription_get", **one)
    assert (status, shown["subscriber"], shown["ttl"]) == (200, "topic:copies", 600)
    status, found = call("subscription_list", queue_name="s")
    assert (status, [each["id"] for each in found["subscriptions"]]) == (200, [shown["id"]])
    assert call("subscription_update", **one, ttl=900) == (204, None)
    assert call("subscription_get", **one)[1]["ttl"] == 900
    assert call("subscription_update", **one)[0] == 400
    assert call("subscription_confirm", **one, confirmed=True) == (204, None)
    assert call("subscription_rotate_key", **one)[0] == 200
    assert call("subscription_attempts", **one) == (200, {"attempts": []})
    assert call("subscription_deliveries", **one) == (200, {"deliveries": []})
    assert call("subscription_redeliver", **one)[0] == 200
    assert call("subscription_delete", **one) == (204, None)
    assert call("subscription_get", **one)[0] == 404
    assert call("subscription_create", queue_name="s", subscriber="ftp://x")[0] == 400


def service(call: Caller) -> None:
    assert call("ping_node") == (204, None)
    assert call("check_node_health")[0] in (200, 403)


SCENARIOS = (topics, messages, claims, dead_letters, subscriptions, service)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_the_two_ways_are_one(call: Caller, scenario: Callable[[Caller], None]) -> None:
    scenario(call)


def test_no_action_is_left_out(sql_api: MessagingApi, runtime: Runtime) -> None:
    call = OverWebSocket(sql_api, runtime)
    for scenario in SCENARIOS:
        for name in ("q", "dead", "t", "s", "copies", "empty"):
            call.call("queue_delete", {"queue_name": name})
        scenario(call)
    known = {name.replace("topic_", "queue_") for name in ACTIONS if not name.startswith(OPERATORS)}
    assert call.asked == known == set(HTTP)


@pytest.mark.parametrize("action", sorted(HTTP))
def test_a_request_as_the_peers_clients_make_it(
    sql_api: MessagingApi, runtime: Runtime, action: str
) -> None:
    """Answers repeat the request with `api`, and name the status in `headers`, whatever it is."""
    call = OverWebSocket(sql_api, runtime)
    headers = {"Client-ID": CLIENT_ID, "X-Project-ID": "demo"}
    request = {"action": action, "headers": headers, "body": {"queue_name": "q"}}
    frame = json.dumps(request).encode()
    connection = call._connection
    answer = json.loads(connection.run(connection.begin(frame, Form.TEXT)))
    assert set(answer) == {"request", "body", "headers"}
    assert answer["request"] == request | {"api": "v2", "body": {}}
    assert set(answer["headers"]) == {"status"}
    assert answer["headers"]["status"] < 500
    if answer["headers"]["status"] >= 400:
        assert answer["body"]["error"]
