"""The rules of subscriptions: retries, filters, signatures, options, subscribers, forwarding."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from kilo_messaging.domain.content_filter import ContentFilter
from kilo_messaging.domain.delivery import Notice
from kilo_messaging.domain.forwarding import LONGEST, WAY, forwarded
from kilo_messaging.domain.retry_policy import JITTER, RetryPolicy
from kilo_messaging.domain.subscriber import Mailbox, OtherTopic, Webhook, read_subscriber
from kilo_messaging.domain.subscription import Subscription, SubscriptionState
from kilo_messaging.domain.subscription_options import read_options
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.domain.webhook_signature import (
    SigningKey,
    check_secret,
    new_secret,
    signature_header,
)
from kilo_messaging.errors import (
    ForwardRefused,
    SubscriptionInvalid,
    SubscriptionStateConflict,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
KEY = TopicKey("demo", "news")


class TestRetryPolicy:
    def test_the_phases_follow_each_other(self) -> None:
        policy = RetryPolicy(
            retries_with_no_delay=2,
            minimum_delay_retries=1,
            minimum_delay=5,
            maximum_delay=30,
            maximum_delay_retries=2,
        )
        assert policy.delays() == (0, 0, 5, 10, 20, 30, 30)

    @pytest.mark.parametrize(
        ("function", "delays"),
        [
            ("linear", (20, 30)),
            ("arithmetic", (20,)),
            ("geometric", (15, 22.5, 33.75)),
            ("exponential", (20,)),
        ],
    )
    def test_delays_grow_as_they_are_told(self, function: Any, delays: tuple[float, ...]) -> None:
        policy = RetryPolicy(
            retries_with_no_delay=0,
            minimum_delay_retries=0,
            minimum_delay=10,
            maximum_delay=40,
            maximum_delay_retries=0,
            retry_backoff_function=function,
        )
        assert policy.delays() == delays

    def test_after_the_last_there_is_none(self) -> None:
        policy = RetryPolicy(
            retries_with_no_delay=1,
            minimum_delay_retries=0,
            minimum_delay=60,
            maximum_delay=60,
            maximum_delay_retries=1,
        )
        assert policy.delay_after(1) == 0
        assert policy.delay_after(2) == 60
        assert policy.delay_after(3) is None

    def test_jitter_stays_in_its_bounds(self) -> None:
        policy = RetryPolicy(retries_with_no_delay=0, minimum_delay=10)
        assert policy.delay_after(1, 0.0) == pytest.approx(10 * (1 - JITTER))
        assert policy.delay_after(1, 1.0) == pytest.approx(10 * (1 + JITTER))

    def test_a_policy_cannot_make_delays_without_end(self) -> None:
        policy = RetryPolicy(minimum_delay=1, maximum_delay=86400, retry_backoff_function="linear")
        assert len(policy.delays()) < 1000


class TestContentFilter:
    @pytest.mark.parametrize(
        ("conditions", "body", "wanted"),
        [
            ([1], {"a": 1}, True),
            ([1], {"a": True}, False),
            ([None], {"a": None}, True),
            ([None], {}, False),
            (["x", "y"], {"a": "y"}, True),
            ([{"prefix": "im"}], {"a": "image"}, True),
            ([{"prefix": "im", "suffix": "x"}], {"a": "image"}, False),
            ([{"prefix": "1"}], {"a": 1}, False),
            ([{"exists": True}], {"a": None}, True),
            ([{"exists": False}], {}, True),
            ([{"exists": False}], {"a": 1}, False),
            ([{"not": "x"}], {"a": "y"}, True),
            ([{"not": "x"}], {}, False),
            ([{"from": 1, "below": 3}], {"a": 1}, True),
            ([{"from": 1, "below": 3}], {"a": 3}, False),
            ([{"above": 1, "to": 3}], {"a": 3}, True),
            ([{"above": 1}], {"a": "2"}, False),
            ([{"above": 1}], {"a": True}, False),
        ],
    )
    def test_conditions(self, conditions: list[Any], body: Any, wanted: bool) -> None:
        chosen = msgspec.convert({"body": {"a": conditions}}, ContentFilter)
        assert chosen.matches(msgspec.json.encode(body), None) is wanted

    def test_a_path_leads_into_objects(self) -> None:
        chosen = msgspec.convert({"body": {"image.status": ["active"]}}, ContentFilter)
        assert chosen.matches(b'{"image":{"status":"active"}}', None)
        assert not chosen.matches(b'{"image":"active"}', None)
        assert not chosen.matches(b"[1]", None)

    def test_attributes_and_body_must_both_fit(self) -> None:
        chosen = msgspec.convert({"attributes": {"k": ["v"]}, "body": {"a": [1]}}, ContentFilter)
        assert chosen.matches(b'{"a":1}', b'{"k":"v"}')
        assert not chosen.matches(b'{"a":2}', b'{"k":"v"}')
        assert not chosen.matches(b'{"a":1}', None)

    def test_a_body_beyond_all_depth_is_not_wanted(self) -> None:
        chosen = msgspec.convert({"body": {"a": [1]}}, ContentFilter)
        assert not chosen.matches(b"[" * 100_000, None)


class TestSignature:
    def test_it_is_what_standard_webhooks_says(self) -> None:
        """The example of the specification's own libraries."""
        key = SigningKey(secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        made = signature_header(
            [key],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            b'{"test": 2432232314}',
            NOW,
        )
        assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

    def test_two_live_keys_sign_and_an_old_one_does_not(self) -> None:
        made = subscription().with_new_key(None, 60, NOW)
        assert len(signature_header(made.signing_keys, "id", 1, b"", NOW).split()) == 2
        later = NOW + timedelta(seconds=60)
        assert len(signature_header(made.signing_keys, "id", 1, b"", later).split()) == 1
        assert len(made.with_new_key(None, 60, NOW).signing_keys) == 2

    def test_new_secrets_are_good_ones(self) -> None:
        assert check_secret(new_secret()) != new_secret()

    @pytest.mark.parametrize("secret", ["", "whsec_", "whsec_AAAA", "whsec_!", "x" * 40])
    def test_a_weak_secret_is_refused(self, secret: str) -> None:
        with pytest.raises(SubscriptionInvalid):
            check_secret(secret)


class TestSubscriber:
    @pytest.mark.parametrize(
        ("uri", "found"),
        [
            ("http://hook.example/a?b=c", Webhook("http://hook.example/a?b=c")),
            ("HTTPS://hook.example", Webhook("HTTPS://hook.example")),
            ("trust+https://hook.example/", Webhook("https://hook.example/", with_trust=True)),
            ("mailto:me@example.org", Mailbox("me@example.org")),
            ("mailto:me%2Bx@example.org?subject=no", Mailbox("me+x@example.org")),
            ("topic:other", OtherTopic(TopicKey("demo", "other"))),
            ("topic://p/other", OtherTopic(TopicKey("p", "other"))),
        ],
    )
    def test_what_a_uri_names(self, uri: str, found: object) -> None:
        assert read_subscriber(uri, KEY) == found

    @pytest.mark.parametrize(
        "uri",
        [
            "",
            "hook.example",
            "ftp://hook.example/",
            "http://",
            "http:///path",
            "http://user:pw@hook.example/",
            "http://hook.example:99999/",
            "http://hook.example/a b",
            "http://hook.example/\r\nX: 1",
            "http://[::1",
            "mailto:nobody",
            "mailto:me@example.org\nBcc: you@example.org",
            "mailto:me@example.org%0ABcc:you@example.org",
            "topic:",
            "topic:news",
            "topic://p/with space",
            "x" * 3000,
            "http://h\N{LATIN SMALL LETTER O WITH DIAERESIS}ok.example/",
        ],
    )
    def test_what_names_none(self, uri: str) -> None:
        with pytest.raises(SubscriptionInvalid):
            read_subscriber(uri, KEY)


class TestOptions:
    def test_foreign_keys_mean_nothing_and_do_no_harm(self) -> None:
        assert read_options({"anything": [1], "post_data": "x"}).post_data == "x"

    @pytest.mark.parametrize(
        "given",
        [
            {"post_headers": {"Content-Length": "1"}},
            {"post_headers": {"X": "a\r\nY: b"}},
            {"post_headers": {"X Y": "a"}},
            {"_filter": {"unknown": {}}},
            {"_filter": {"body": {"a": []}}},
            {"_retry_policy": {"minimum_delay": 0}},
            {"_retry_policy": {"retry": 0}},
            {"_batch": 2, "_format": "raw"},
            {"_batch": 101},
            {"subject": "a\nb"},
        ],
    )
    def test_what_does_not_fit_is_refused(self, given: dict[str, Any]) -> None:
        with pytest.raises(SubscriptionInvalid):
            read_options(given)


class TestState:
    def test_the_table_is_the_rule(self) -> None:
        paused = subscription().move(SubscriptionState.PAUSED)
        assert paused.move(SubscriptionState.ACTIVE).state is SubscriptionState.ACTIVE
        unconfirmed = subscription().move(SubscriptionState.UNCONFIRMED)
        with pytest.raises(SubscriptionStateConflict):
            unconfirmed.move(SubscriptionState.PAUSED)


class TestForwarding:
    def test_the_way_is_written_down(self) -> None:
        made = msgspec.json.decode(forwarded(notice(b'{"a":"b"}'), KEY, TopicKey("demo", "next")))
        assert made == {"a": "b", WAY: "demo/news"}

    def test_a_circle_ends(self) -> None:
        been = forwarded(notice(None), KEY, TopicKey("demo", "next"))
        with pytest.raises(ForwardRefused):
            forwarded(notice(been), TopicKey("demo", "next"), KEY)

    def test_a_way_is_not_endless(self) -> None:
        been = ", ".join(f"demo/t{number}" for number in range(LONGEST))
        with pytest.raises(ForwardRefused):
            forwarded(notice(msgspec.json.encode({WAY: been})), KEY, TopicKey("demo", "next"))


def subscription() -> Subscription:
    return Subscription(
        id="id",
        key=KEY,
        subscriber="http://hook.example/",
        ttl=60,
        options=read_options({}),
        given={},
        created_at=NOW,
        signing_keys=(SigningKey(secret=new_secret()),),
    )


def notice(attributes: bytes | None) -> Notice:
    return Notice(
        message_id="id",
        body=b"1",
        ttl=60,
        group=None,
        attributes=attributes,
        posted_at=NOW,
        expires_at=NOW + timedelta(seconds=60),
        visible_at=NOW,
    )
