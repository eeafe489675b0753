"""From a post to its subscribers: real requests to a sink on loopback, on a clock that is set."""

from collections.abc import Callable, Iterator
from email import message_from_string
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kilo_common.context import RequestContext
from kilo_common.fetch.policy import FetchPolicy
from kilo_common.lifecycle import ServiceGroup
from kilo_common.runtime import Runtime
from kilo_common.settings import DatabaseSettings
from kilo_common.testing.clock import FakeClock
from kilo_messaging import wiring
from kilo_messaging.config import DeliverySettings, MailSettings, MessagingSettings
from kilo_messaging.domain.delivery import Result
from kilo_messaging.domain.subscription import Subscription, SubscriptionState
from kilo_messaging.domain.webhook_signature import signature_header
from kilo_messaging.service.messages import Draft
from kilo_messaging.service.subscriptions import Changes
from kilo_messaging.wiring import MessagingApi
from support.databases import ReadyDatabases
from support.sinks import MailSink, Received, WebSink, mail_sink, web_sink

WaitUntil = Callable[[Callable[[], bool]], None]
LOOPBACK = FetchPolicy(ports=(), allow_loopback=True, max_redirects=0)
AT_ONCE = {"retries_with_no_delay": 5, "minimum_delay_retries": 0, "maximum_delay_retries": 0}
ONCE_MORE = {
    "retries_with_no_delay": 0,
    "minimum_delay_retries": 1,
    "minimum_delay": 60,
    "maximum_delay": 60,
    "maximum_delay_retries": 0,
}


@pytest.fixture
def sink() -> Iterator[WebSink]:
    with web_sink() as opened:
        yield opened


@pytest.fixture
def mails() -> Iterator[MailSink]:
    with mail_sink() as opened:
        yield opened


class Desk:
    """A running service, and the few words that these tests need."""

    def __init__(self, api: MessagingApi, context: RequestContext, clock: FakeClock) -> None:
        self.do = api.operations
        self.context = context
        self.clock = clock

    def subscribe(self, subscriber: str, topic: str = "t", **options: Any) -> Subscription:
        return self.do.subscriptions.create(
            self.context, topic, subscriber=subscriber, ttl=86400, options=options
        )

    def post(self, *bodies: str, topic: str = "t", **about: Any) -> None:
        drafts = [Draft(body.encode(), ttl=3600, **about) for body in bodies]
        self.do.messages.post(self.context, topic, drafts, client_id="me", size=1)

    def now(self, subscription: Subscription) -> Subscription:
        return self.do.subscriptions.get(self.context, subscription.key.name, subscription.id)

    def log(self, subscription: Subscription) -> list[tuple[int, Result, int | None]]:
        found = self.do.subscriptions.attempts(
            self.context, subscription.key.name, subscription.id, limit=100
        )
        return [(each.number, each.result, each.status) for each in reversed(found)]

    def bodies(self, topic: str) -> list[bytes]:
        found = self.do.messages.page(self.context, topic, client_id="you", limit=20)
        return [each.body for each in found]


@pytest.fixture
def start(
    runtime: Runtime,
    context: RequestContext,
    clock: FakeClock,
    tmp_path: Path,
    ready_databases: ReadyDatabases,
) -> Iterator[Callable[..., Desk]]:
    started: list[tuple[ServiceGroup, MessagingApi]] = []

    def run(**settings: Any) -> Desk:
        chosen = MessagingSettings(
            database=DatabaseSettings(url=f"sqlite:///{tmp_path}/messaging.db"),
            deliveries=DeliverySettings(
                **({"fetch": LOOPBACK, "concurrency": 4, "poll": 0.01} | settings)
            ),
        )
        chosen = msgspec.structs.replace(
            chosen,
            signed_urls=msgspec.structs.replace(chosen.signed_urls, key="a key of many letters"),
        )
        if not (tmp_path / "messaging.db").exists():
            ready_databases.place(wiring.SCHEMA, tmp_path / "messaging.db")
        api = wiring.build(chosen, runtime)
        group = ServiceGroup(api.services)
        group.start()
        started.append((group, api))
        return Desk(api, context, clock)

    yield run
    for group, api in started:
        group.stop(5.0)
        api.close()


def test_a_webhook_gets_each_message_in_the_known_form(
    start: Callable[..., Desk], sink: WebSink, wait_until: WaitUntil
) -> None:
    desk = start()
    made = desk.subscribe(f"{sink.url}/hook", post_headers={"X-One": "1"})
    desk.post('{"a": 1}')
    wait_until(lambda: desk.log(made) == [(1, Result.DELIVERED, 204)])
    (request,) = sink.requests
    assert request.path == "/hook"
    assert msgspec.json.decode(request.body) == {
        "body": {"a": 1},
        "ttl": 3600,
        "queue_name": "t",
        "Message_Type": "Notification",
    }
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-one"] == "1"
    assert request.headers["traceparent"].startswith("00-")


def test_a_webhook_is_signed(
    start: Callable[..., Desk], sink: WebSink, wait_until: WaitUntil, clock: FakeClock
) -> None:
    desk = start()
    made = desk.subscribe(sink.url)
    desk.post("1")
    wait_until(lambda: len(sink.requests) == 1)
    (request,) = sink.requests
    assert request.headers["webhook-signature"] == signature_header(
        made.signing_keys,
        request.headers["webhook-id"],
        int(request.headers["webhook-timestamp"]),
        request.body,
        clock.now(),
    )


def test_a_failure_is_tried_again_under_the_same_id(
    start: Callable[..., Desk], sink: WebSink, wait_until: WaitUntil
) -> None:
    desk = start()
    sink.answer = failing(2)
    made = desk.subscribe(sink.url, _retry_policy=AT_ONCE)
    desk.post("1")
    wait_until(lambda: len(desk.log(made)) == 3)
    assert desk.log(made) == [
        (1, Result.RETRY, 503),
        (2, Result.RETRY, 503),
        (3, Result.DELIVERED, 204),
    ]
    assert len({each.headers["webhook-id"] for each in sink.requests}) == 1
    assert desk.now(made).health.failures == 0


def test_a_retry_waits_and_then_it_is_given_up_and_sent_again_on_request(
    start: Callable[..., Desk], sink: WebSink, wait_until: WaitUntil, clock: FakeClock
) -> None:
    desk = start()
    sink.answer = failing(2)
    made = desk.subscribe(sink.url, _retry_policy=ONCE_MORE)
    desk.post("1")
    wait_until(lambda: desk.log(made) == [(1, Result.RETRY, 503)])
    assert desk.now(made).health.reason == "not now"
    clock.advance(80)
    wait_until(lambda: len(desk.log(made)) == 2)
    assert desk.log(made)[1] == (2, Result.FAILED, 503)
    assert desk.do.subscriptions.redeliver(desk.context, "t", made.id) == 1
    wait_until(lambda: len(desk.log(made)) == 3)
    assert desk.log(made)[2] == (1, Result.DELIVERED, 204)


def test_the_subscriber_may_ask_for_more_time(
    start: Callable[..., Desk], sink: WebSink, wait_until: WaitUntil, clock: FakeClock
) -> None:
    desk = start()
    sink.answer = failing(1, {"Retry-After": "600"})
    made = desk.subscribe(sink.url, _retry_policy=ONCE_MORE)
    desk.post("1")
    wait_until(lambda: len(desk.log(made)) == 1)
    clock.advance(500)
    (waiting,) = desk.do.subscriptions.pending(desk.context, "t", made.id)
    assert waiting.due_at > clock.now()
    clock.advance(100)
    wait_until(lambda: len(desk.log(made)) == 2)


def test_gone_disables_and_a_client_can_enable_again(
    start: Callable[..., Desk], sink: WebSink, wait_until: WaitUntil
) -> None:
    desk = start()
    sink.answer = lambda _request: (410, {}, b"moved out")
    made = desk.subscribe(sink.url)
    desk.post("1")
    wait_until(lambda: desk.now(made).state is SubscriptionState.DISABLED)
    assert desk.now(made).health.reason == "moved out"
    desk.post("not recorded")
    sink.answer = lambda _request: (204, {}, b"")
    desk.do.subscriptions.update(
        desk.context, "t", made.id, Changes(state=SubscriptionState.ACTIVE)
    )
    desk.post("2")
    wait_until(lambda: len(sink.requests) == 2)
    assert [msgspec.json.decode(each)["body"] for each in sink.bodies()] == [1, 2]


def test_one_that_is_dead_holds_up_no_other(
    start: Callable[..., Desk], sink: WebSink, wait_until: WaitUntil
) -> None:
    desk = start()
    dead = desk.subscribe("http://127.0.0.1:9/", _retry_policy=ONCE_MORE)
    desk.subscribe(sink.url)
    desk.post(*(str(number) for number in range(20)))
    wait_until(lambda: len(sink.requests) == 20)
    wait_until(lambda: desk.now(dead).health.failures > 0)


def test_a_paused_one_gets_what_was_posted_meanwhile(
    start: Callable[..., Desk], sink: WebSink, wait_until: WaitUntil
) -> None:
    desk = start()
    made = desk.subscribe(sink.url)
    desk.do.subscriptions.update(
        desk.context, "t", made.id, Changes(state=SubscriptionState.PAUSED)
    )
    desk.post("1")
    assert len(desk.do.subscriptions.pending(desk.context, "t", made.id)) == 1
    desk.do.subscriptions.update(
        desk.context, "t", made.id, Changes(state=SubscriptionState.ACTIVE)
    )
    wait_until(lambda: len(sink.requests) == 1)


def test_a_fifo_topic_keeps_its_order_through_failures(
    start: Callable[..., Desk], sink: WebSink, wait_until: WaitUntil
) -> None:
    desk = start()
    desk.do.topics.create(desk.context, "t", {"_ordering": "fifo"})
    sink.answer = failing(3)
    desk.subscribe(sink.url, _retry_policy=AT_ONCE)
    desk.post(*(str(number) for number in range(10)))
    wait_until(lambda: len(sink.requests) == 13)
    arrived = [msgspec.json.decode(each)["body"] for each in sink.bodies()]
    assert arrived == [0, 0, 0, *range(10)]


def test_batches_come_as_lists(
    start: Callable[..., Desk], sink: WebSink, wait_until: WaitUntil
) -> None:
    desk = start()
    made = desk.subscribe(sink.url, _batch=10)
    desk.post("1", "2", "3")
    wait_until(lambda: len(desk.log(made)) == 3)
    (body,) = sink.bodies()
    assert [each["body"] for each in msgspec.json.decode(body)] == [1, 2, 3]


def test_a_template_makes_the_body(
    start: Callable[..., Desk], sink: WebSink, wait_until: WaitUntil
) -> None:
    desk = start()
    desk.subscribe(sink.url, post_data='{"input": "$zaqar_message$"}')
    desk.post("1")
    wait_until(lambda: len(sink.requests) == 1)
    assert msgspec.json.decode(sink.bodies()[0])["input"]["body"] == 1


def test_a_raw_one_gets_the_body_with_its_attributes_as_headers(
    start: Callable[..., Desk], sink: WebSink, wait_until: WaitUntil
) -> None:
    desk = start()
    desk.subscribe(sink.url, _format="raw")
    attributes = {"ce-type": "a.b", "content-type": "text/plain", "host": "evil", "x y": "z"}
    desk.post('"text"', attributes=msgspec.json.encode(attributes))
    wait_until(lambda: len(sink.requests) == 1)
    (request,) = sink.requests
    assert request.body == b'"text"'
    assert request.headers["ce-type"] == "a.b"
    assert request.headers["content-type"] == "text/plain"
    assert request.headers["host"].startswith("127.0.0.1")


def test_a_redirect_is_a_failure(
    start: Callable[..., Desk], sink: WebSink, wait_until: WaitUntil
) -> None:
    desk = start()
    sink.answer = lambda _request: (307, {"Location": f"{sink.url}/else"}, b"")
    made = desk.subscribe(sink.url, _retry_policy=ONCE_MORE)
    desk.post("1")
    wait_until(lambda: len(desk.log(made)) == 1)
    assert desk.log(made)[0][1] is Result.RETRY
    assert {each.path for each in sink.requests} == {"/"}


def test_an_address_that_is_not_allowed_is_never_asked(
    start: Callable[..., Desk], sink: WebSink, wait_until: WaitUntil
) -> None:
    desk = start(fetch=FetchPolicy(ports=(), max_redirects=0))
    port = sink.url.rpartition(":")[2]
    made = desk.subscribe(f"http://localhost:{port}/", _retry_policy=ONCE_MORE)
    desk.post("1")
    wait_until(lambda: len(desk.log(made)) == 1)
    assert desk.log(made)[0][1:] == (Result.RETRY, None)
    assert sink.requests == []


def test_other_topics_get_it_once(start: Callable[..., Desk], wait_until: WaitUntil) -> None:
    desk = start()
    made = desk.subscribe("topic:copy")
    desk.subscribe("topic:t", topic="copy")
    desk.post('"news"')
    wait_until(lambda: desk.bodies("copy") == [b'"news"'])
    wait_until(lambda: desk.log(made) == [(1, Result.DELIVERED, None)])
    assert desk.bodies("t") == [b'"news"']


def test_a_topic_of_another_project_must_accept(
    start: Callable[..., Desk], wait_until: WaitUntil
) -> None:
    desk = start()
    other = RequestContext(project_id="other", user_id="you", roles=("member",))
    desk.do.topics.create(other, "inbox", {"_accept_from": ["demo"]})
    desk.subscribe("topic://other/inbox")
    desk.post("1")

    def arrived() -> bool:
        return bool(desk.do.messages.page(other, "inbox", client_id="you"))

    wait_until(arrived)


def test_mail_is_written(
    start: Callable[..., Desk], mails: MailSink, wait_until: WaitUntil
) -> None:
    desk = start(mail=MailSettings(host="127.0.0.1", port=mails.port, sender="us@example.org"))
    made = desk.subscribe("mailto:you@example.org", subject="News")
    desk.post('{"a": 1}')
    wait_until(lambda: len(desk.log(made)) == 1)
    ((recipient, text),) = mails.mails
    mail = message_from_string(text)
    assert "you@example.org" in recipient
    assert (mail["From"], mail["Subject"]) == ("us@example.org", "News")
    assert msgspec.json.decode(mail.get_payload())["body"] == {"a": 1}


def test_mail_that_is_refused_says_why(
    start: Callable[..., Desk], mails: MailSink, wait_until: WaitUntil
) -> None:
    mails.refuse = "550 no such user"
    desk = start(mail=MailSettings(host="127.0.0.1", port=mails.port))
    made = desk.subscribe("mailto:you@example.org", _retry_policy=ONCE_MORE)
    desk.post("1")
    wait_until(lambda: desk.log(made) == [(1, Result.RETRY, 550)])
    assert desk.now(made).health.reason == "no such user"


def test_a_subscriber_is_asked_first_where_that_is_required(
    start: Callable[..., Desk], sink: WebSink, wait_until: WaitUntil
) -> None:
    desk = start(require_confirmation=True)
    made = desk.subscribe(sink.url)
    assert not made.confirmed
    desk.post("1")
    wait_until(lambda: len(sink.requests) == 1)
    asked = msgspec.json.decode(sink.bodies()[0])
    assert asked["Message_Type"] == "SubscriptionConfirmation"
    assert asked["URL-Paths"] == [f"/v2/queues/t/subscriptions/{made.id}/confirm"]
    assert asked["SubscribeBody"] == {"confirmed": True}
    desk.do.subscriptions.confirm(desk.context, "t", made.id, confirmed=True)
    desk.post("2")
    wait_until(lambda: len(sink.requests) == 2)
    assert msgspec.json.decode(sink.bodies()[1])["body"] == 2
    desk.do.subscriptions.confirm(desk.context, "t", made.id, confirmed=False)
    wait_until(lambda: len(sink.requests) == 3)
    assert msgspec.json.decode(sink.bodies()[2])["Message_Type"] == "UnsubscribeConfirmation"


def failing(
    times: int, headers: dict[str, str] | None = None
) -> Callable[[Received], tuple[int, dict[str, str], bytes]]:
    """Answers that fail so many times, and then do not."""
    left = [times]

    def answer(_request: Received) -> tuple[int, dict[str, str], bytes]:
        if left[0] > 0:
            left[0] -= 1
            return 503, headers or {}, b"not now"
        return 204, {}, b""

    return answer
