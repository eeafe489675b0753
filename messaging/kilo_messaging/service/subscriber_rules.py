"""Which subscribers there may be, which of them must agree first, and which need a trust."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from kilo_common.context import RequestContext
from kilo_messaging.domain.subscriber import Mailbox, OtherTopic, Webhook, read_subscriber
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.errors import SubscriptionInvalid, SubscriptionsUnavailable
from kilo_messaging.service.desk import Desk

CheckUrl = Callable[[object], None]


class Trusts(Protocol):
    """Acting for those who subscribed, when their tokens have ended."""

    def delegate(self, context: RequestContext, token: str) -> str:
        """Let the user of this token trust this service; the trust's id. Raises KiloError."""
        ...

    def revoke(self, trust_id: str, token: str) -> None:
        """End a trust by a token of who made it; if that cannot be, nothing is raised."""
        ...


@dataclass(frozen=True)
class SubscriberRules:
    """Which subscribers there may be, and which must agree first."""

    check_url: CheckUrl
    """Returns if a webhook may have this URL, as far as its text tells; raises FetchRefused."""
    mail: bool
    """Whether there is a mail server."""
    trusts: Trusts | None
    """Where there is a Keystone to make them in."""
    require_confirmation: bool


class Subscribers:
    """The rules, applied to a URI that somebody wants subscribed."""

    def __init__(self, desk: Desk, rules: SubscriberRules) -> None:
        self._desk = desk
        self._rules = rules

    def check(self, key: TopicKey, uri: str) -> bool:
        """Whether this subscriber must agree first, if it may be one at all."""
        match read_subscriber(uri, key):
            case Webhook(url, with_trust):
                if with_trust and self._rules.trusts is None:
                    raise SubscriptionsUnavailable(
                        "Trusts need a Keystone (auth.strategy = keystone)"
                    )
                self._rules.check_url(url)
                return not with_trust
            case Mailbox():
                if not self._rules.mail:
                    raise SubscriptionInvalid(
                        "No mail server is configured (messaging.deliveries.mail.host)",
                        key="subscriber",
                    )
                return True
            case OtherTopic(target):
                self._check_target(key, target)
        return False

    def trust(
        self,
        context: RequestContext,
        key: TopicKey,
        uri: str,
        given: Mapping[str, Any],
        token: str,
    ) -> dict[str, str]:
        """The option `trust_id`, where the subscriber wants a trust and the client gave none."""
        place = read_subscriber(uri, key)
        if not (isinstance(place, Webhook) and place.with_trust) or given.get("trust_id"):
            return {}
        assert self._rules.trusts is not None, "checked with the subscriber"
        return {"trust_id": self._rules.trusts.delegate(context, token)}

    def _check_target(self, source: TopicKey, target: TopicKey) -> None:
        if source.project_id == target.project_id:
            return
        topic = self._desk.stores.topics.get(target)
        if topic is None or not topic.accepts_from(source.project_id):
            raise SubscriptionInvalid(
                f"The topic {target.name!r} of that project does not accept messages of this one "
                "(its metadata _accept_from)",
                key="subscriber",
            )
