"""Events announced on the bus become messages, once each."""

import json
from collections.abc import Callable

from werkzeug.test import Client

from kilo_common.bus.envelope import Notification
from kilo_common.bus.notifier import Notifier
from kilo_common.context import RequestContext
from kilo_common.lifecycle import ServiceGroup
from kilo_common.runtime import Runtime
from kilo_messaging.service.events import EventPoster
from kilo_messaging.wiring import MessagingApi

PATH = "/v2/topics/catalog.events/messages"


def notification(**changes: object) -> Notification:
    values = {
        "message_id": "4f1c",
        "publisher_id": "image.host1",
        "event_type": "image.activate",
        "priority": "INFO",
        "payload": {"id": "i", "owner": "demo"},
        "timestamp": "2026-11-23 01:12:15.961590",
        "context": {},
    }
    return Notification(**(values | changes))  # type: ignore[arg-type]


def events(http: Client, project: str = "demo") -> list[dict]:
    answer = http.get(PATH, headers={"X-Project-Id": project})
    return [message["body"] for message in answer.json["messages"]]


def test_an_event_is_posted_as_it_was_announced(sql_api: MessagingApi, http: Client) -> None:
    poster = EventPoster(sql_api.operations.messages, "catalog.events")
    poster(notification())
    assert events(http) == [
        {
            "event_type": "image.activate",
            "message_id": "4f1c",
            "publisher_id": "image.host1",
            "priority": "INFO",
            "timestamp": "2026-11-23 01:12:15.961590",
            "payload": {"id": "i", "owner": "demo"},
        }
    ]


def test_an_event_that_comes_again_is_posted_once(sql_api: MessagingApi, http: Client) -> None:
    poster = EventPoster(sql_api.operations.messages, "catalog.events")
    for _ in range(3):
        poster(notification())
    poster(notification(message_id="another"))
    assert [event["message_id"] for event in events(http)] == ["4f1c", "another"]


def test_the_context_says_whose_event_it_is(sql_api: MessagingApi, http: Client) -> None:
    poster = EventPoster(sql_api.operations.messages, "catalog.events")
    poster(notification(context={"project_id": "caller"}))
    assert len(events(http, "caller")) == 1
    assert events(http, "demo") == []


def test_an_event_of_nobody_or_too_large_is_dropped(sql_api: MessagingApi, http: Client) -> None:
    poster = EventPoster(sql_api.operations.messages, "catalog.events")
    poster(notification(payload=None))
    poster(notification(payload={"owner": 5}))
    poster(notification(payload={"owner": "demo\x00"}))
    poster(notification(payload={"owner": "demo", "x": "y" * 300_000}))
    assert events(http) == []


def test_the_service_listens_to_the_bus(
    sql_api: MessagingApi,
    runtime: Runtime,
    make_client: Callable[[MessagingApi], Client],
    wait_until: Callable[[Callable[[], bool]], None],
) -> None:
    http = make_client(sql_api)
    services = ServiceGroup(sql_api.services)
    services.start()
    notifier = Notifier(runtime.transport, "image.test", clock=runtime.clock, new_id=runtime.new_id)
    notifier.notify(RequestContext(project_id="demo"), "image.create", {"id": "1"})
    notifier.notify(RequestContext(project_id="demo"), "image.fail", {}, priority="error")
    wait_until(lambda: len(events(http)) == 2)
    assert {event["event_type"] for event in events(http)} == {"image.create", "image.fail"}
    assert json.dumps(events(http)[0])
    services.stop(5.0)
