"""Where a message has been that subscriptions carry from topic to topic.

The way is an attribute of the message, so that it shows, and a circle of subscriptions ends.
"""

import msgspec

from kilo_messaging.domain.delivery import Notice
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.errors import ForwardRefused

WAY = "forwarded-from"
"""The attribute: `PROJECT/TOPIC` of each topic it came from, the first one first."""
LONGEST = 16


def forwarded(notice: Notice, source: TopicKey, target: TopicKey) -> bytes:
    """The attributes of the message in `target`.

    Raises:
        ForwardRefused: it has been in `target`, or in too many topics.
    """
    attributes: dict[str, str] = msgspec.json.decode(notice.attributes) if notice.attributes else {}
    before = attributes[WAY].split(", ") if WAY in attributes else []
    way = [*before, _named(source)]
    if _named(target) in way or len(way) > LONGEST:
        raise ForwardRefused(
            f"The message has been in {target.name} already, or in more than {LONGEST} topics: "
            "the subscriptions lead in a circle",
            way=", ".join(way),
        )
    return msgspec.json.encode(attributes | {WAY: ", ".join(way)})


def _named(key: TopicKey) -> str:
    return f"{key.project_id}/{key.name}"
