"""What a client asks of a subscription beside the subscriber: its `options`.

The keys without an underscore and `_retry_policy` are the Messaging API's; those with one are ours.
Keys that mean nothing here are kept and shown as they came.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from kilo_messaging.domain.content_filter import ContentFilter
from kilo_messaging.domain.retry_policy import RetryPolicy
from kilo_messaging.domain.webhook_signature import check_secret
from kilo_messaging.errors import SubscriptionInvalid

MESSAGE_MARK = '"$zaqar_message$"'
"""What stands in `post_data` for the message."""
SECRET = "_secret"
"""The option that names a signing secret; it is never shown."""
_HEADER_NAME = "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$"
_HEADER_VALUE = "^[\\x20-\\x7e\\t]{0,1024}$"
HeaderName = Annotated[str, Meta(pattern=_HEADER_NAME)]
HeaderValue = Annotated[str, Meta(pattern=_HEADER_VALUE)]
_FORBIDDEN_HEADERS = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "proxy-authorization",
        "proxy-connection",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "traceparent",
    }
)
"""Headers that frame the request, or say who signed it: not a subscription's to set."""
Line = Annotated[str, Meta(max_length=256, pattern="^[^\\x00-\\x1f\\x7f]*$")]


class Options(Struct, frozen=True, kw_only=True, rename={"filter": "_filter"}):
    """The options that mean something."""

    post_data: Annotated[str, Meta(max_length=65536)] | None = None
    """The body of the request, with `"$zaqar_message$"` where the message belongs."""
    post_headers: Annotated[dict[HeaderName, HeaderValue], Meta(max_length=32)] = {}
    sender: Line | None = msgspec.field(name="from", default=None)
    subject: Line | None = None
    trust_id: Line | None = None
    retry_policy: RetryPolicy | None = msgspec.field(name="_retry_policy", default=None)
    filter: ContentFilter | None = None
    batch: Annotated[int, Meta(ge=1, le=100)] = msgspec.field(name="_batch", default=1)
    """Messages in one request at most; more than one makes its body a list."""
    format: Literal["notification", "raw"] = msgspec.field(name="_format", default="notification")
    """`raw`: the message's body is the request's, and its attributes are headers."""


def read_options(given: Mapping[str, Any]) -> Options:
    """The options in what a client said.

    Raises:
        SubscriptionInvalid: one of them does not fit.
    """
    try:
        options = msgspec.convert(given, Options)
    except msgspec.ValidationError as fault:
        raise SubscriptionInvalid(f"options: {fault}", key="options") from None
    for name in options.post_headers:
        if name.lower() in _FORBIDDEN_HEADERS:
            raise SubscriptionInvalid(
                f"options.post_headers may not set {name}", key="post_headers", header=name
            )
    if options.batch > 1 and (options.post_data is not None or options.format == "raw"):
        raise SubscriptionInvalid(
            "options: _batch above 1 goes with neither post_data nor _format raw", key="_batch"
        )
    return options


def given_secret(given: Mapping[str, Any]) -> str | None:
    """The signing secret that the client chose.

    Raises:
        SubscriptionInvalid: it is none.
    """
    secret = given.get(SECRET)
    if secret is None:
        return None
    if not isinstance(secret, str):
        raise SubscriptionInvalid("options._secret must be a text", key=SECRET)
    return check_secret(secret)


def shown_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """What a client said, without the secret."""
    return {name: value for name, value in given.items() if name != SECRET}
