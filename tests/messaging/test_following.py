"""Following a topic from a cursor: nothing is missed, nothing comes twice, nobody is held up."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from kilo_common.bus.memory import MemoryTransport
from kilo_common.bus.target import Address, Kind
from kilo_common.bus.transport import Capability
from kilo_common.clock import SystemClock
from kilo_common.context import RequestContext
from kilo_common.testing.clock import FakeClock
from kilo_messaging.domain.cursor import BEGINNING, Cursor, parse_cursor
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.errors import CursorInvalid
from kilo_messaging.service.following import PAGE, Follower, Following
from kilo_messaging.service.messages import Draft
from kilo_messaging.service.push import PushHub
from kilo_messaging.storage.base import Found, MessageStore
from kilo_messaging.transport.http.event_stream import EventStreams, StreamTimes
from kilo_messaging.wiring import MessagingApi

KEY = TopicKey("demo", "news")
WaitUntil = Callable[[Callable[[], bool]], None]


class Reader:
    """Somebody who follows, and takes only so many frames at a time."""

    def __init__(self, room: int = 10**9) -> None:
        self.frames: list[dict[str, Any]] = []
        self.cursors: list[Cursor] = []
        self.room = room

    def offer(self, frame: bytes, cursor: Cursor) -> bool:
        if self.room == 0:
            return False
        self.room -= 1
        self.frames.append(msgspec.json.decode(frame))
        self.cursors.append(cursor)
        return True

    @property
    def bodies(self) -> list[Any]:
        return [frame["body"] for frame in self.frames]


@pytest.fixture
def following(api: MessagingApi) -> Iterator[Following]:
    found = next(each for each in api.services if isinstance(each, Following))
    found.start()
    yield found
    found.stop(5.0)


@pytest.fixture
def post(api: MessagingApi, context: RequestContext) -> Callable[..., None]:
    def do(*bodies: int, topic: str = "news") -> None:
        drafts = [Draft(str(body).encode()) for body in bodies]
        api.operations.messages.post(context, topic, drafts, client_id="me", size=1)

    return do


def follow(following: Following, reader: Reader, cursor: Cursor = BEGINNING) -> Follower:
    follower = following.follow(KEY, cursor, reader.offer)
    following.resume(follower)
    return follower


def test_old_and_new_messages_come_in_order_each_once(
    following: Following, post: Callable[..., None], wait_until: WaitUntil
) -> None:
    total = 3 * PAGE
    for number in range(PAGE + 20):
        post(number)
    reader = Reader()
    follow(following, reader)
    for number in range(PAGE + 20, total):
        post(number)
    wait_until(lambda: len(reader.frames) >= total)
    assert reader.bodies == list(range(total))


def test_who_comes_back_goes_on_behind_what_it_saw(
    following: Following, post: Callable[..., None], wait_until: WaitUntil
) -> None:
    post(1, 2, 3)
    first = Reader()
    gone = follow(following, first)
    wait_until(lambda: len(first.frames) == 3)
    following.unfollow(gone)
    following.unfollow(gone)
    post(4)
    again = Reader()
    follow(following, again, parse_cursor(first.frames[1]["cursor"]))
    wait_until(lambda: len(again.frames) == 2)
    assert again.bodies == [3, 4]
    assert first.bodies == [1, 2, 3]


def test_who_has_no_room_goes_on_when_it_has_and_holds_up_nobody(
    following: Following, post: Callable[..., None], wait_until: WaitUntil
) -> None:
    slow, quick = Reader(room=1), Reader()
    follower = follow(following, slow)
    follow(following, quick)
    post(1, 2, 3)
    wait_until(lambda: len(quick.frames) == 3 and follower.is_paused)
    assert slow.bodies == [1]
    slow.room = 10
    following.resume(follower)
    wait_until(lambda: len(slow.frames) == 3)
    assert slow.bodies == [1, 2, 3]


def test_a_topic_that_was_made_anew_is_followed_from_its_beginning(
    following: Following,
    api: MessagingApi,
    context: RequestContext,
    clock: FakeClock,
    post: Callable[..., None],
    wait_until: WaitUntil,
) -> None:
    post(1, 2)
    end = following.place(KEY, at_end=True)
    api.operations.topics.delete(context, "news")
    clock.advance(1)
    post(3)
    reader = Reader()
    follow(following, reader, end)
    wait_until(lambda: len(reader.frames) == 1)
    assert reader.bodies == [3]
    assert reader.cursors[0].epoch != end.epoch


def test_a_topic_can_be_followed_before_it_is_there(
    following: Following, post: Callable[..., None], wait_until: WaitUntil
) -> None:
    assert following.place(KEY, at_end=True) == BEGINNING
    reader = Reader()
    follow(following, reader)
    post(1)
    wait_until(lambda: reader.bodies == [1])


def test_who_begins_at_the_end_sees_only_what_comes(
    following: Following, post: Callable[..., None], wait_until: WaitUntil
) -> None:
    post(1, 2)
    reader = Reader()
    follow(following, reader, following.place(KEY, at_end=True))
    post(3)
    wait_until(lambda: bool(reader.frames))
    assert reader.bodies == [3]
    assert following.place(KEY, at_end=False).offset == 0


class SharedBus(MemoryTransport):
    """The bus in memory, as if several processes shared it."""

    capabilities = MemoryTransport.capabilities | {Capability.BETWEEN_PROCESSES}


def test_what_is_posted_in_another_process_is_looked_for_at_once(
    api: MessagingApi, post: Callable[..., None], wait_until: WaitUntil
) -> None:
    bus = SharedBus()
    bus.start()
    desk = api.operations.desk
    address = Address(Kind.FANOUT, "openstack", "messaging.push")
    here, elsewhere = (PushHub(bus, address, name) for name in ("here", "elsewhere"))
    here.start()
    elsewhere.start()
    looked: list[TopicKey] = []
    here.arrivals.watch(KEY, looked.append)
    following = Following(desk.stores.messages, desk.now, here.arrivals)
    reader = Reader()
    follow(following, reader)
    post(1)  # in this process the service's own hub hears of it, which is neither of the two
    (message,) = desk.stores.messages.follow(KEY, 0, 1, desk.now()).messages
    elsewhere.announce(KEY, [message])
    wait_until(lambda: looked == [KEY])
    following.start()
    wait_until(lambda: reader.bodies == [1])
    for each in (following, here, elsewhere):
        each.stop(5.0)
    bus.stop(1.0)


class Counted:
    """A store that counts how often it is read."""

    def __init__(self, store: MessageStore) -> None:
        self._store = store
        self.reads = 0

    def follow(self, *arguments: Any) -> Found:
        self.reads += 1
        return self._store.follow(*arguments)


def test_many_followers_share_a_read(
    api: MessagingApi, post: Callable[..., None], wait_until: WaitUntil
) -> None:
    store = Counted(api.operations.desk.stores.messages)
    hub = next(each for each in api.services if isinstance(each, PushHub))
    following = Following(store, api.operations.desk.now, hub.arrivals)  # type: ignore[arg-type]
    readers = [Reader() for _ in range(50)]
    for reader in readers:
        follow(following, reader)
    post(1)
    following.start()
    wait_until(lambda: all(reader.bodies == [1] for reader in readers))
    following.stop(5.0)
    assert store.reads <= 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "0",
        "1.",
        ".1",
        "x.1",
        "1.x",
        "1.-1",
        "-1.0",
        "01.1",
        "A.1",
        "1.01",
        "1.²",
        f"1.{2**63}",
    ],
)
def test_a_text_that_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(CursorInvalid):
        parse_cursor(text)


def test_a_cursor_is_read_as_it_was_written() -> None:
    cursor = Cursor("64b0c1a2f3e", 17)
    assert parse_cursor(str(cursor)) == cursor


def test_a_stream_ends_when_its_client_is_not_known_any_more(
    api: MessagingApi, following: Following, context: RequestContext, post: Callable[..., None]
) -> None:
    post(1)
    known = [True, False]
    streams = EventStreams(
        api.operations.desk, following, SystemClock(), StreamTimes(pulse=9, auth_interval=0)
    )
    stream = streams.open(context, "news", "start", lambda: False, lambda: known.pop(0))
    pieces = list(stream)
    stream.close()
    assert len(pieces) == 2
    assert b'"body":1' in pieces[1]


def test_a_stream_that_nobody_reads_keeps_little_and_goes_on_later(
    api: MessagingApi,
    following: Following,
    context: RequestContext,
    post: Callable[..., None],
    wait_until: WaitUntil,
) -> None:
    size = 1000
    streams = EventStreams(
        api.operations.desk, following, SystemClock(), StreamTimes(pulse=9, auth_interval=9)
    )
    stream = streams.open(context, "news", "end", lambda: False, lambda: True)
    pieces = iter(stream)
    next(pieces)
    post(0)
    assert b'"body":0' in next(pieces)
    for number in range(1, size):
        post(int(f"1{number:0400d}"))
    received = b""
    while received.count(b"data:") < size - 1:
        received += next(pieces)
        assert len(received) < size * 1000
    stream.close()
    assert [int(each) for each in re.findall(rb'"body":1(\d+)', received)] == list(range(1, size))
