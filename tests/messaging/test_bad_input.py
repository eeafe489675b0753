"""Whatever a client sends: a 4xx in the API's own shape, and never a fault of ours."""

import io
import json
from typing import Any

import pytest
from werkzeug.test import Client

JSON = "application/json"
PATCH = "application/openstack-messaging-v2.0-json-patch"
MESSAGES = "/v2/queues/q/messages"
DEEP = "[" * 50_000 + "]" * 50_000

BAD_BODIES: dict[str, tuple[str, str, Any]] = {
    "no body": ("POST", MESSAGES, b""),
    "not JSON": ("POST", MESSAGES, b"{nonsense"),
    "not UTF-8": ("POST", MESSAGES, b'{"messages":[{"body":"\xff\xfe"}]}'),
    "a byte order mark": ("POST", MESSAGES, b'\xef\xbb\xbf{"messages":[{"body":1}]}'),
    "half a surrogate": ("POST", MESSAGES, b'{"messages":[{"body":"\\ud800"}]}'),
    "NaN": ("POST", MESSAGES, b'{"messages":[{"body":NaN}]}'),
    "a list": ("POST", MESSAGES, []),
    "a number": ("POST", MESSAGES, 7),
    "null": ("POST", MESSAGES, None),
    "no messages": ("POST", MESSAGES, {}),
    "messages is an object": ("POST", MESSAGES, {"messages": {}}),
    "messages is empty": ("POST", MESSAGES, {"messages": []}),
    "a message is text": ("POST", MESSAGES, {"messages": ["x"]}),
    "no body in a message": ("POST", MESSAGES, {"messages": [{"ttl": 60}]}),
    "ttl is text": ("POST", MESSAGES, {"messages": [{"body": 1, "ttl": "60"}]}),
    "ttl is true": ("POST", MESSAGES, {"messages": [{"body": 1, "ttl": True}]}),
    "ttl is a fraction": ("POST", MESSAGES, {"messages": [{"body": 1, "ttl": 60.5}]}),
    "ttl is too short": ("POST", MESSAGES, {"messages": [{"body": 1, "ttl": 59}]}),
    "ttl is too long": ("POST", MESSAGES, {"messages": [{"body": 1, "ttl": 1209601}]}),
    "ttl is huge": ("POST", MESSAGES, {"messages": [{"body": 1, "ttl": 10**30}]}),
    "delay is negative": ("POST", MESSAGES, {"messages": [{"body": 1, "delay": -1}]}),
    "group is empty": ("POST", MESSAGES, {"messages": [{"body": 1, "group": ""}]}),
    "group is a number": ("POST", MESSAGES, {"messages": [{"body": 1, "group": 7}]}),
    "group with a zero byte": ("POST", MESSAGES, {"messages": [{"body": 1, "group": "a\0"}]}),
    "deduplication id is too long": (
        "POST",
        MESSAGES,
        {"messages": [{"body": 1, "deduplication_id": "x" * 129}]},
    ),
    "attributes are a list": ("POST", MESSAGES, {"messages": [{"body": 1, "attributes": []}]}),
    "an attribute is a number": (
        "POST",
        MESSAGES,
        {"messages": [{"body": 1, "attributes": {"a": 1}}]},
    ),
    "too many attributes": (
        "POST",
        MESSAGES,
        {"messages": [{"body": 1, "attributes": {str(number): "" for number in range(65)}}]},
    ),
    "nested too deep": ("POST", MESSAGES, f'{{"messages":[{{"body":{DEEP}}}]}}'.encode()),
    "too large": ("POST", MESSAGES, {"messages": [{"body": "x" * 262144}]}),
    "much too large": ("POST", MESSAGES, {"messages": [{"body": "x" * 2_000_000}]}),
    "metadata is a list": ("PUT", "/v2/queues/q", []),
    "metadata is too large": ("PUT", "/v2/queues/q", {"x": "y" * 65536}),
    "metadata nested too deep": ("PUT", "/v2/queues/q", f'{{"a":{DEEP}}}'.encode()),
    "a reserved key is text": ("PUT", "/v2/queues/q", {"_default_message_ttl": "x"}),
    "a reserved key is too small": ("PUT", "/v2/queues/q", {"_default_message_ttl": 1}),
    "claim count is negative": ("PUT", "/v2/queues/q", {"_max_claim_count": -1}),
    "dead letters go nowhere": ("PUT", "/v2/queues/q", {"_dead_letter_queue": 5}),
    "an unknown order": ("PUT", "/v2/queues/q", {"_ordering": "lifo"}),
    "an order that is a list": ("PUT", "/v2/queues/q", {"_ordering": ["fifo"]}),
    "its own dead letters": ("PUT", "/v2/queues/q", {"_dead_letter_queue": "q"}),
    "encryption is not offered": ("PUT", "/v2/queues/q", {"_enable_encrypt_messages": True}),
    "claim ttl is too short": ("POST", "/v2/queues/q/claims", {"ttl": 1}),
    "grace is too long": ("POST", "/v2/queues/q/claims", {"ttl": 60, "grace": 43201}),
    "claim is a list": ("POST", "/v2/queues/q/claims", []),
    "claim ttl is an object": ("POST", "/v2/queues/q/claims", {"ttl": {}}),
    "share of nothing": ("POST", "/v2/queues/q/share", {"paths": []}),
    "share of something else": ("POST", "/v2/queues/q/share", {"paths": ["../x"]}),
    "share for no method": ("POST", "/v2/queues/q/share", {"methods": ["BREW"]}),
    "share until a number": ("POST", "/v2/queues/q/share", {"expires": 99999999999}),
    "share until yesterday": ("POST", "/v2/queues/q/share", {"expires": "2001-01-01T00:00:00"}),
    "share beyond time": ("POST", "/v2/queues/q/share", {"expires": "9999-12-31T23:59:59-10:00"}),
    "share is a list": ("POST", "/v2/queues/q/share", []),
    "purge of nothing": ("POST", "/v2/queues/q/purge", {"resource_types": []}),
    "purge of something else": ("POST", "/v2/queues/q/purge", {"resource_types": ["x"]}),
}

BAD_PATCHES: dict[str, Any] = {
    "nothing": b"",
    "an object": {},
    "a text in the list": ["x"],
    "no path": [{"op": "add", "value": 1}],
    "path is a number": [{"op": "add", "path": 1, "value": 1}],
    "path elsewhere": [{"op": "add", "path": "/name", "value": 1}],
    "path too deep": [{"op": "add", "path": "/metadata/a/b", "value": 1}],
    "path without a key": [{"op": "add", "path": "/metadata/", "value": 1}],
    "unknown operation": [{"op": "move", "path": "/metadata/a", "value": 1}],
    "operation is a list": [{"op": [], "path": "/metadata/a", "value": 1}],
    "no value": [{"op": "add", "path": "/metadata/a"}],
    "reserved key": [{"op": "add", "path": "/metadata/_default_message_ttl", "value": "x"}],
    "missing key": [{"op": "remove", "path": "/metadata/a"}],
}

BAD_REQUESTS: dict[str, tuple[str, str]] = {
    "an unknown path": ("GET", "/v2/nothing"),
    "an empty name": ("GET", "/v2/queues//messages"),
    "a long name": ("PUT", "/v2/queues/" + "x" * 65),
    "a wrong name": ("PUT", "/v2/queues/a%20b"),
    "a name with a zero byte": ("PUT", "/v2/queues/a%00b"),
    "a name that is no text": ("PUT", "/v2/queues/%ff%fe"),
    "limit zero": ("GET", "/v2/queues?limit=0"),
    "limit too great": ("GET", "/v2/queues?limit=21"),
    "limit is text": ("GET", "/v2/queues?limit=many"),
    "limit is nothing": ("GET", "/v2/queues?limit="),
    "limit is huge": ("GET", "/v2/queues?limit=" + "9" * 40),
    "marker with a zero byte": ("GET", "/v2/queues?marker=a%00"),
    "marker is too long": ("GET", "/v2/queues?marker=" + "a" * 300),
    "detailed is text": ("GET", "/v2/queues?detailed=perhaps"),
    "a query that is no text": ("GET", "/v2/queues?name=%ff"),
    "message marker is text": ("GET", MESSAGES + "?marker=abc"),
    "message marker is negative": ("GET", MESSAGES + "?marker=-1"),
    "message marker is huge": ("GET", MESSAGES + "?marker=" + "9" * 30),
    "echo is text": ("GET", MESSAGES + "?echo=perhaps"),
    "no ids": ("GET", MESSAGES + "?ids="),
    "too many ids": ("GET", MESSAGES + "?ids=" + ",".join("x" * 21)),
    "unknown ids": ("GET", MESSAGES + "?ids=x"),
    "an id with a zero byte": ("GET", MESSAGES + "/a%00"),
    "an unknown id": ("GET", MESSAGES + "/unknown"),
    "a very long id": ("DELETE", MESSAGES + "/" + "a" * 3000),
    "too many to delete": ("DELETE", MESSAGES + "?ids=" + ",".join("x" * 21)),
    "pop nothing": ("DELETE", MESSAGES + "?pop=0"),
    "pop too many": ("DELETE", MESSAGES + "?pop=21"),
    "pop is text": ("DELETE", MESSAGES + "?pop=all"),
    "claim limit": ("POST", "/v2/queues/q/claims?limit=21"),
    "an unknown claim": ("GET", "/v2/queues/q/claims/unknown"),
    "a claim with a zero byte": ("GET", "/v2/queues/q/claims/%00"),
}


def refused(response: Any) -> dict[str, str]:
    assert 400 <= response.status_code < 500, response.text
    body = response.json
    assert set(body) == {"title", "description", "code"}
    assert all(isinstance(text, str) and text for text in body.values())
    return body


@pytest.mark.parametrize("case", BAD_BODIES)
def test_a_bad_body_is_refused(http: Client, case: str) -> None:
    method, path, body = BAD_BODIES[case]
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = http.open(path, method=method, data=data, content_type=JSON)
    refused(response)
    assert response.status_code == 400
    assert http.get("/v2/queues/q/stats").json["messages"]["total"] == 0


@pytest.mark.parametrize("case", BAD_PATCHES)
def test_a_bad_patch_is_refused(http: Client, case: str) -> None:
    body = BAD_PATCHES[case]
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    refused(http.patch("/v2/queues/q", data=data, content_type=PATCH))


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_a_bad_request_is_refused(http: Client, case: str) -> None:
    method, path = BAD_REQUESTS[case]
    refused(http.open(path, method=method))


def test_a_form_is_refused(http: Client) -> None:
    response = http.post(MESSAGES, data={"a": "b"})
    assert refused(response)["title"] == "Invalid Content-Type"


def test_an_id_that_can_be_no_message_is_one_that_is_not_there(http: Client) -> None:
    assert http.delete(f"/v2/queues/q/messages?ids={'1' * 108}").status_code == 204


def test_a_topic_refuses_more_than_its_own_limit(http: Client) -> None:
    http.put("/v2/queues/q", json={"_max_messages_post_size": 50})
    refused(http.post(MESSAGES, json={"messages": [{"body": "x" * 50}]}))
    assert http.post(MESSAGES, json={"messages": [{"body": 1}]}).status_code == 201


@pytest.mark.parametrize(
    "headers",
    [
        {"Client-ID": ""},
        {"Client-ID": "x" * 5000},
        {"Client-ID": "3381af92-2b9e-11e3-b191"},
        {"X-Project-Id": "x" * 257},
        {"Accept": "text/html"},
        {"Accept": "application/json;q=0"},
    ],
)
def test_bad_headers_are_refused(http: Client, headers: dict[str, str]) -> None:
    refused(http.get("/v2/queues", headers=headers))


@pytest.mark.parametrize("accept", ["*/*", "application/*", "text/html, application/json;q=0.1"])
def test_whoever_takes_json_gets_it(http: Client, accept: str) -> None:
    assert http.get("/v2/queues", headers={"Accept": accept}).status_code == 200


class _Cut(io.RawIOBase):
    """A chunked body whose connection ends in the middle."""

    def read(self, _size: int = -1) -> bytes:
        raise OSError("unexpected end of file while reading chunk")


def test_a_chunked_body_that_breaks_off_is_refused(http: Client) -> None:
    environ = {"wsgi.input": _Cut(), "HTTP_TRANSFER_ENCODING": "chunked"}
    response = http.post(MESSAGES, environ_overrides=environ, content_type=JSON)
    assert refused(response)["code"] == "http.body_truncated"


def test_a_body_shorter_than_announced_is_refused(http: Client) -> None:
    environ = {"wsgi.input": io.BytesIO(b'{"messages"'), "CONTENT_LENGTH": "400"}
    response = http.post(MESSAGES, environ_overrides=environ, content_type=JSON)
    assert refused(response)["code"] == "http.body_truncated"
