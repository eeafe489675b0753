"""Many requests on one connection: what is done together, what steps aside, and in which order."""

import json
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from kilo_common.context import RequestContext
from kilo_common.runtime import Runtime
from kilo_messaging.protocol.actions import ACTIONS
from kilo_messaging.protocol.connection import Connection
from kilo_messaging.protocol.core import Dispatcher
from kilo_messaging.protocol.pipeline import Later, Pipeline, Reply
from kilo_messaging.protocol.session import Form, Session
from kilo_messaging.service.connection_subscriptions import ConnectionSubscriptions, PushLine
from kilo_messaging.service.following import Following
from kilo_messaging.service.messages import Draft
from kilo_messaging.service.push import PushHub
from kilo_messaging.transport.outbox import Outbox
from kilo_messaging.wiring import MessagingApi

NOWHERE = PushLine(lambda _frame: None, lambda _frame: True)
HEADERS = {"Client-ID": "3381af92-2b9e-11e3-b191-71861300734c", "X-Project-ID": "demo"}
OTHER = "4481af92-2b9e-11e3-b191-71861300734c"


def make_pipeline(api: MessagingApi, runtime: Runtime, most_waiting: int = 2) -> Pipeline:
    desk = api.operations.desk
    hub = next(service for service in api.services if isinstance(service, PushHub))
    following = next(each for each in api.services if isinstance(each, Following))
    subscriptions = ConnectionSubscriptions(desk, hub, following, NOWHERE, most=10)
    dispatcher = Dispatcher(api.operations, ACTIONS)
    session = Session(HEADERS, echo_limit=100)
    connection = Connection(desk, dispatcher, runtime.auth, session, subscriptions)
    return Pipeline(connection, most_waiting=most_waiting)


@pytest.fixture
def pipeline(sql_api: MessagingApi, runtime: Runtime) -> Pipeline:
    return make_pipeline(sql_api, runtime)


def frame(action: str, request_id: int | None = None, **body: Any) -> tuple[bytes, Form]:
    request = {"action": action, "headers": HEADERS, "body": body}
    if request_id is not None:
        request["request_id"] = request_id
    return json.dumps(request).encode(), Form.TEXT


def post(*bodies: Any, request_id: int | None = None, queue: str = "q") -> tuple[bytes, Form]:
    messages = [{"body": each, "ttl": 60} for each in bodies]
    return frame("message_post", request_id, queue_name=queue, messages=messages)


def status(reply: Reply) -> int:
    found: int = json.loads(reply.frame)["headers"]["status"]
    return found


def run(pipeline: Pipeline, *frames: tuple[bytes, Form]) -> list[list[int] | Later]:
    return [
        found if isinstance(found, Later) else [status(each) for each in found]
        for found in pipeline.take(frames)
    ]


def listed(api: MessagingApi, context: RequestContext, queue: str = "q") -> list[bytes]:
    found = api.operations.messages.page(context, queue, client_id=OTHER, limit=20)
    return [message.body for message in found]


def test_posts_in_a_row_share_a_commit_and_keep_their_order(
    pipeline: Pipeline, sql_api: MessagingApi, context: RequestContext
) -> None:
    assert run(pipeline, post(1), post(2, 3), post(4)) == [[201, 201, 201]]
    assert listed(sql_api, context) == [b"1", b"2", b"3", b"4"]


def test_a_post_that_is_refused_costs_the_others_nothing(
    pipeline: Pipeline, sql_api: MessagingApi, context: RequestContext
) -> None:
    too_long = frame("message_post", queue_name="q", messages=[{"body": 1, "ttl": 1}])
    no_queue = frame("message_post", messages=[{"body": 1}])
    nothing = frame("message_post", queue_name="q", messages=[])
    frames = [post(1), too_long, no_queue, nothing, (b"{", Form.TEXT), post(2)]
    assert run(pipeline, *frames) == [[201, 400, 400, 400], [400], [201]]
    assert listed(sql_api, context) == [b"1", b"2"]


def test_what_was_sent_before_has_taken_effect(pipeline: Pipeline) -> None:
    frames = [
        post(1),
        frame("message_delete_many", queue_name="q", pop=1),
        post(2),
        frame("queue_get_stats", queue_name="q"),
    ]
    replies = [found for found in pipeline.take(frames) if not isinstance(found, Later)]
    popped, stats = json.loads(replies[1][0].frame), json.loads(replies[3][0].frame)
    assert [each["body"] for each in popped["body"]["messages"]] == [1]
    assert stats["body"]["messages"]["total"] == 1


@pytest.mark.parametrize("action", ["claim_create", "message_list"])
def test_who_waits_steps_aside(pipeline: Pipeline, action: str) -> None:
    waiting = frame(action, 7, queue_name="q", wait=20, echo=True)
    first, second = run(pipeline, waiting, post("x"))
    assert isinstance(first, Later)
    assert second == [201]
    answer = json.loads(first.finish().frame)
    assert answer["request_id"] == 7
    assert [each["body"] for each in answer["body"]["messages"]] == ["x"]


def test_who_would_wait_and_finds_something_is_answered_in_turn(pipeline: Pipeline) -> None:
    assert run(pipeline, post("x"), frame("claim_create", 7, queue_name="q", wait=20)) == [
        [201],
        [201],
    ]


def test_who_may_not_wait_so_long_is_told_at_once(pipeline: Pipeline) -> None:
    assert run(pipeline, frame("claim_create", 7, queue_name="q", wait=21)) == [[400]]


@pytest.mark.parametrize("request_ids", [[None], [1, 2, 3]], ids=["no id", "too many"])
def test_who_cannot_step_aside_is_waited_for(
    pipeline: Pipeline,
    sql_api: MessagingApi,
    context: RequestContext,
    request_ids: Sequence[int | None],
) -> None:
    frames = [frame("claim_create", each, queue_name="q", wait=20) for each in request_ids]
    posting = threading.Timer(
        0.1,
        lambda: sql_api.operations.messages.post(
            context, "q", [Draft(b"1")], client_id=OTHER, size=1
        ),
    )
    posting.start()
    *aside, last = run(pipeline, *frames)
    posting.join()
    assert all(isinstance(each, Later) for each in aside)
    assert last == [201]


class Socket:
    """Takes so many bytes, and then no more."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.taken = b""
        self.writers = 0

    def try_to_write(self, data: bytes) -> int:
        if self.room < 0:
            raise BrokenPipeError
        took = data[: self.room]
        self.room -= len(took)
        self.taken += took
        return len(took)

    def start_writer(self) -> None:
        self.writers += 1

    def outbox(self, most: int = 4, most_bytes: int = 1000) -> Outbox:
        return Outbox(
            most=most,
            most_bytes=most_bytes,
            try_to_write=self.try_to_write,
            start_writer=self.start_writer,
        )


def test_what_the_socket_takes_needs_no_writer() -> None:
    socket = Socket(room=10)
    outbox = socket.outbox()
    assert outbox.put(b"12345")
    assert (socket.taken, socket.writers) == (b"12345", 0)
    assert outbox.put(b"6789012")
    assert outbox.put(b"3")
    assert (socket.taken, socket.writers) == (b"1234567890", 1)
    assert outbox.take() == (b"123", False)
    assert outbox.take() is None
    socket.room = 1
    assert outbox.put(b"4")
    assert (socket.taken, socket.writers) == (b"12345678904", 1)


def test_a_frame_that_has_begun_is_sent_to_its_end() -> None:
    socket = Socket(room=3)
    outbox = socket.outbox(most_bytes=5)
    assert outbox.put(b"123456789")  # more than may wait, but it is on its way
    assert not outbox.put(b"no room")
    assert outbox.put(b"asked for", must=True)
    outbox.end(b"bye", drop=True)
    assert outbox.take() == (b"456789bye", False)
    assert outbox.take() is None
    outbox.wait_until_sent(0)


def test_a_line_to_nobody_ends() -> None:
    outbox = Socket(room=-1).outbox()
    assert not outbox.put(b"x")
    assert not outbox.admits()
    outbox.end(b"bye")
    assert outbox.take() is None


def test_answers_are_made_only_while_there_is_room() -> None:
    socket = Socket(room=0)
    outbox = socket.outbox()
    assert outbox.put(b"x" * 600)
    assert not outbox.wait_for_room(0.01)
    assert not outbox.put(b"x" * 600)
    assert not outbox.admits()
    assert outbox.put(b"x" * 600, must=True)
    waiting: list[bool] = []
    waiter = threading.Thread(target=lambda: waiting.append(outbox.wait_for_room(10)))
    waiter.start()
    assert outbox.take() == (b"x" * 1200, True)
    waiter.join(10)
    assert waiting == [True]
    outbox.end()
    assert not outbox.put(b"x", must=True)
    assert outbox.wait_for_room(0.01)
