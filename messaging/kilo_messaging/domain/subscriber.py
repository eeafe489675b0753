"""Where a subscription delivers to: a URI, taken apart and checked.

`http:`, `https:`   a webhook
`trust+http(s):`    a webhook of a service that knows Keystone: it gets a token out of a trust
`mailto:`           one address
`topic:NAME`        another topic of the same project; `topic://PROJECT/NAME`: of another one
"""

import re
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from kilo_messaging.domain.topic import TopicKey, check_name
from kilo_messaging.errors import NameInvalid, SubscriptionInvalid

LONGEST = 2048
TRUST = "trust+"
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")


class Webhook(Struct, frozen=True):
    """A URL to post to."""

    url: str
    with_trust: bool = False


class Mailbox(Struct, frozen=True):
    """An address to write to."""

    address: str


class OtherTopic(Struct, frozen=True):
    """A topic to post to."""

    key: TopicKey


Subscriber = Webhook | Mailbox | OtherTopic


def read_subscriber(uri: str, source: TopicKey) -> Subscriber:
    """The subscriber that a URI names, for a subscription to topic `source`.

    Whether a URL may be reached is not known from its text: that is checked at each delivery.

    Raises:
        SubscriptionInvalid: it names none.
    """
    if len(uri) > LONGEST or not uri.isascii() or not uri.isprintable() or " " in uri:
        raise _refuse(uri, f"is no URI of at most {LONGEST} characters of ASCII")
    scheme, _colon, rest = uri.partition(":")
    match scheme.lower():
        case "http" | "https":
            return Webhook(_url(uri))
        case "trust+http" | "trust+https":
            return Webhook(_url(uri[len(TRUST) :]), with_trust=True)
        case "mailto":
            address = unquote(rest.partition("?")[0])
            if _ADDRESS.fullmatch(address) is None:
                raise _refuse(uri, "names no mail address")
            return Mailbox(address)
        case "topic":
            return OtherTopic(_topic(uri, rest, source))
    raise _refuse(
        uri, "must begin with http:, https:, trust+http:, trust+https:, mailto: or topic:"
    )


def _url(url: str) -> str:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises if it is none
    except ValueError:
        raise _refuse(url, "is no URL") from None
    if not parts.hostname:
        raise _refuse(url, "names no host")
    if parts.username is not None or parts.password is not None:
        raise _refuse(url, "may not hold a name or password; use options.post_headers")
    return url


def _topic(uri: str, rest: str, source: TopicKey) -> TopicKey:
    if rest.startswith("//"):
        project, _slash, name = rest[2:].partition("/")
        key = TopicKey(unquote(project), unquote(name))
    else:
        key = TopicKey(source.project_id, unquote(rest))
    try:
        check_name(key.name)
    except NameInvalid as fault:
        raise _refuse(uri, f"names no topic: {fault.message}") from None
    if not key.project_id.isprintable() or len(key.project_id) > 256:
        raise _refuse(uri, "names no project")
    if key == source:
        raise _refuse(uri, "is the topic itself")
    return key


def _refuse(uri: str, why: str) -> SubscriptionInvalid:
    return SubscriptionInvalid(f"The subscriber {why}", key="subscriber", subscriber=uri[:256])
