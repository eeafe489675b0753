"""Topics under their compatibility name: what clients of queues are shown."""

from typing import Any

from werkzeug.test import Client


def names(http: Client, collection: str, query: str = "") -> list[str]:
    answer: Any = http.get(f"/v2/{collection}?{query}").json
    return [each["name"] for each in answer[collection]]


def post(http: Client, topic: str) -> None:
    http.post(f"/v2/topics/{topic}/messages", json={"messages": [{"body": 1, "ttl": 300}]})


def test_the_topic_of_events_is_listed_as_a_topic_and_not_as_a_queue(http: Client) -> None:
    for topic in ("a", "catalog.events", "z"):
        post(http, topic)
    assert names(http, "topics") == ["a", "catalog.events", "z"]
    assert names(http, "queues") == ["a", "z"]
    assert names(http, "queues", "name=events") == []
    assert http.get("/v2/queues?with_count=true").json["count"] == 2
    assert http.get("/v2/topics?with_count=true").json["count"] == 3


def test_pages_of_queues_are_full_although_a_topic_is_left_out(http: Client) -> None:
    for topic in ("a", "catalog.events", "x", "y", "z"):
        post(http, topic)
    assert names(http, "queues", "limit=2") == ["a", "x"]
    assert names(http, "queues", "limit=2&marker=x") == ["y", "z"]
