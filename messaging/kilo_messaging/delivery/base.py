"""What a sender does: one attempt at one job. It knows nothing of retries, leases and logs."""

from typing import Any, Protocol

import msgspec
from msgspec import Struct

from kilo_messaging.domain.delivery import Job, Notice
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.service.push import NOTIFICATION

EXCERPT = 500
"""Characters of an answer that are kept in the log."""


class Answer(Struct, frozen=True, kw_only=True):
    """How an attempt went."""

    arrived: bool
    gone: bool = False
    """The subscriber wants no more."""
    status: int | None = None
    """Of the HTTP answer."""
    detail: str = ""
    retry_after: float | None = None
    """Seconds for which the subscriber asked to be left alone."""


class Sender(Protocol):
    """Delivers to one kind of subscriber."""

    def send(self, job: Job) -> Answer:
        """Try once. What goes wrong is an answer too; nothing is raised but by a fault of ours."""
        ...


def notification(key: TopicKey, notice: Notice) -> dict[str, Any]:
    """A message as subscribers get it: the four keys of the Messaging API, and no more."""
    return {
        "body": msgspec.Raw(notice.body),
        "ttl": notice.ttl,
        "queue_name": key.name,
        "Message_Type": NOTIFICATION,
    }
