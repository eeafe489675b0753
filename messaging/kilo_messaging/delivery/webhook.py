"""Webhooks: a signed POST to a URL, through the guard against forged requests.

A 2xx arrives, 410 Gone ends the subscription, and anything else is a failure. Redirects are not
followed: who moves changes the subscription.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from kilo_common.clock import Clock
from kilo_common.context import new_traceparent
from kilo_common.errors import KiloError
from kilo_common.fetch.fetcher import FetchAnswer, Fetcher
from kilo_messaging.delivery.base import EXCERPT, Answer, notification
from kilo_messaging.domain.delivery import Job, Notice
from kilo_messaging.domain.subscriber import Webhook, read_subscriber
from kilo_messaging.domain.subscription import Subscription
from kilo_messaging.domain.subscription_options import MESSAGE_MARK
from kilo_messaging.domain.webhook_signature import signature_header

JSON = "application/json"
GONE = 410
LONGEST_REST = 3600.0
"""Seconds that a Retry-After may ask for at most."""
_CONTENT_TYPE = "content-type"
_TRACEPARENT = "traceparent"


class Tokens(Protocol):
    """Tokens of those who subscribed with a trust."""

    def token(self, trust_id: str) -> str:
        """A token out of the trust.

        Raises:
            KiloError: there is none to be had.
        """
        ...


class WebhookSender:
    """Posts to URLs."""

    def __init__(self, fetcher: Fetcher, clock: Clock, tokens: Tokens | None = None) -> None:
        self._fetcher = fetcher
        self._clock = clock
        self._tokens = tokens

    def send(self, job: Job) -> Answer:
        subscription = job.subscription
        place = read_subscriber(subscription.subscriber, subscription.key)
        assert isinstance(place, Webhook), "the dispatcher chose this sender by the subscriber"
        headers, body = request_of(job)
        try:
            if place.with_trust and self._tokens is not None:
                headers["X-Auth-Token"] = self._tokens.token(subscription.options.trust_id or "")
            headers |= self._signed(subscription, _message_id(job), body)
            return answer_of(self._post(place.url, headers, body))
        except KiloError as fault:
            return Answer(arrived=False, detail=fault.message[:EXCERPT])

    def send_text(self, subscription: Subscription, message_id: str, body: bytes) -> Answer:
        """Post something that is no message, such as a request to confirm."""
        place = read_subscriber(subscription.subscriber, subscription.key)
        assert isinstance(place, Webhook), "the caller chose this sender by the subscriber"
        headers = {"Content-Type": JSON} | self._signed(subscription, message_id, body)
        try:
            return answer_of(self._post(place.url, headers, body))
        except KiloError as fault:
            return Answer(arrived=False, detail=fault.message[:EXCERPT])

    def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> FetchAnswer:
        return self._fetcher.request("POST", url, headers=headers, body=body, max_answer=4096)

    def _signed(self, subscription: Subscription, message_id: str, body: bytes) -> dict[str, str]:
        now = self._clock.now()
        timestamp = int(now.timestamp())
        keys = subscription.signing_keys
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature_header(keys, message_id, timestamp, body, now),
        }


def request_of(job: Job) -> tuple[dict[str, str], bytes]:
    """The headers, without the signature, and the body of a job's request."""
    subscription, options = job.subscription, job.subscription.options
    notices = [each.notice for each in job.deliveries]
    headers = dict(options.post_headers)
    if options.batch > 1:
        body = msgspec.json.encode([notification(subscription.key, each) for each in notices])
        return _with_defaults(headers, {_CONTENT_TYPE: JSON}), body
    (notice,) = notices
    attributes = _attributes(notice)
    trace = {_TRACEPARENT: attributes.get(_TRACEPARENT) or new_traceparent()}
    if options.format == "raw":
        own = {name: text for name, text in attributes.items() if _is_header(name, text)}
        return _with_defaults(headers, {_CONTENT_TYPE: JSON} | own | trace), notice.body
    whole = msgspec.json.encode(notification(subscription.key, notice))
    if options.post_data is not None:
        text = options.post_data.replace(MESSAGE_MARK, whole.decode())
        return _with_defaults(headers, {_CONTENT_TYPE: JSON} | trace), text.encode()
    return _with_defaults(headers, {_CONTENT_TYPE: JSON} | trace), whole


def answer_of(answer: FetchAnswer) -> Answer:
    """What an HTTP answer means."""
    return Answer(
        arrived=200 <= answer.status < 300,
        gone=answer.status == GONE,
        status=answer.status,
        detail=answer.body[:EXCERPT]
        .decode(errors="replace")
        .replace("\0", "\N{REPLACEMENT CHARACTER}"),
        retry_after=_rest(answer.headers.get("retry-after", "")),
    )


def _message_id(job: Job) -> str:
    """What the receiver knows repeats by: the same for every attempt at the same messages."""
    first, last = job.deliveries[0].notice, job.deliveries[-1].notice
    if first is last:
        return first.message_id
    return f"{first.message_id}-{last.message_id}"


def _with_defaults(headers: dict[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    present = {name.lower() for name in headers}
    return headers | {name: text for name, text in defaults.items() if name.lower() not in present}


def _attributes(notice: Notice) -> dict[str, str]:
    found: dict[str, Any] = msgspec.json.decode(notice.attributes) if notice.attributes else {}
    return found


_NAME_CHARACTERS = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
_KEPT_BACK = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"}
    | {"expect", "keep-alive", "proxy-authorization", "proxy-connection", "x-auth-token"}
    | {"authorization", "cookie", "webhook-id", "webhook-timestamp", "webhook-signature"}
)


def _is_header(name: str, text: str) -> bool:
    """Whether an attribute may travel as a header: not one that frames or signs the request."""
    return (
        _NAME_CHARACTERS.issuperset(name.lower())
        and name.lower() not in _KEPT_BACK
        and text.isascii()
        and text.isprintable()
        and len(text) <= 1024
    )


def _rest(text: str) -> float | None:
    return min(float(text), LONGEST_REST) if text.isdecimal() and len(text) < 10 else None
