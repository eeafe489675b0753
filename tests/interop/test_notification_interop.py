"""Notifications (messagingv2) between ours and the real oslo.messaging, both ways."""

from queue import SimpleQueue

import pytest

from kilo_common.bus.envelope import Notification
from kilo_common.bus.listener import NotificationListener
from kilo_common.bus.notifier import Notifier
from kilo_common.bus.transport import Transport
from kilo_common.clock import SystemClock
from kilo_common.context import RequestContext
from kilo_common.ids import random_id

pytestmark = pytest.mark.services


def test_the_peer_hears_ours(peer, transport: Transport, corner) -> None:
    listener = peer("listener")
    notifier = Notifier(
        transport,
        "image.host1",
        clock=SystemClock(),
        new_id=random_id,
        topic=corner.topic,
        exchange=corner.exchange,
    )
    message_id = notifier.notify(RequestContext(), "image.create", {"id": "i1"})
    heard = listener.next()
    assert heard.pop("metadata")["message_id"] == message_id
    assert heard == {
        "priority": "info",
        "publisher": "image.host1",
        "event": "image.create",
        "payload": {"id": "i1"},
    }
    notifier.notify(RequestContext(), "image.broken", {}, priority="error")
    assert listener.next() == {"priority": "error", "event": "image.broken"}


@pytest.mark.parametrize("listening", ["first", "later"])
def test_ours_hears_the_peer(peer, transport: Transport, corner, listening: str) -> None:
    heard: SimpleQueue[Notification] = SimpleQueue()
    listener = NotificationListener(
        transport,
        heard.put,
        topic=corner.topic,
        exchange=corner.exchange,
        priorities=("info", "error"),
    )
    if listening == "first":
        listener.start()
    notifier = peer("notifier")
    notifier.ask(priority="info", event="volume.create", payload={"size": 3})
    notifier.ask(priority="error", event="volume.broken", payload=[])
    if listening == "later":
        listener.start()
    found = {each.event_type: each for each in (heard.get(timeout=10), heard.get(timeout=10))}
    listener.stop(5)
    created = found["volume.create"]
    assert (created.publisher_id, created.priority) == ("peer.host", "INFO")
    assert created.payload == {"size": 3}
    assert found["volume.broken"].priority == "ERROR"
