"""Topics and messages as Redis keeps them, and back.

Times are whole microseconds since 1970. A message has a record, which scripts read and write, and a
body, which they only pass on; both in MessagePack.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec

from kilo_messaging.domain.claim import Claim
from kilo_messaging.domain.message import Message, State
from kilo_messaging.domain.topic import PRIORITIES, Metadata, Topic, TopicKey

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.decode


def micros(moment: datetime) -> int:
    """A moment as a number."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(number: int | bytes) -> datetime:
    """A number as a moment."""
    return _EPOCH + int(number) * _MICROSECOND


def topic_fields(key: TopicKey, metadata: Metadata) -> list[Any]:
    """Fields and values, one after another, of a topic's hash; with a version never used before.

    What scripts need of the metadata stands in fields of its own.
    """
    topic = Topic(key=key, metadata=metadata, created_at=_EPOCH)
    rules: Mapping[str, Any] = {
        "version": uuid4().hex,
        "metadata": msgspec.json.encode(metadata),
        "ordering": topic.ordering.value,
        "priorities": int(metadata.get(PRIORITIES) is True),
        "max_claims": "" if topic.max_claims is None else topic.max_claims,
        "dead": topic.dead_letters.name if topic.dead_letters else "",
        "dead_ttl": "" if topic.dead_letter_ttl is None else topic.dead_letter_ttl,
    }
    return [part for pair in rules.items() for part in pair]


def topic_of(key: TopicKey, metadata: bytes, created: bytes) -> Topic:
    """A topic out of two of its fields."""
    return Topic(key=key, metadata=msgspec.json.decode(metadata), created_at=moment_of(created))


def record_of(message: Message, topic: Topic) -> list[Any]:
    """What scripts work with; the order is that of `lua/common.lua`."""
    return [
        int(message.state),
        micros(message.visible_at),
        micros(message.expires_at),
        message.ttl,
        message.claim_count,
        message.claim_id or "",
        _or_false(topic.lane(message.group)),
        message.client_id,
        message.priority,
        message.id,
        micros(message.created_at),
        _or_false(message.source),
    ]


def body_of(message: Message) -> bytes:
    """What is only passed on."""
    return _encode((message.kept_body, message.group, message.attributes))


def message_of(shown: Sequence[bytes]) -> Message:
    """A message that a script answered with: its position, record and body."""
    position, record, body = shown
    return message_from(_decode(record), body, int(position))


def message_from(record: Sequence[Any], packed_body: bytes, position: int) -> Message:
    """A message out of its decoded record and its body."""
    state, visible, expires, ttl, count, claim, _lane, client, priority, uuid, created, source = (
        record
    )
    body, group, attributes = _decode(packed_body)
    return Message(
        id=uuid,
        body=body,
        ttl=ttl,
        client_id=client,
        created_at=moment_of(created),
        expires_at=moment_of(expires),
        visible_at=moment_of(visible),
        state=State(state),
        claim_id=claim or None,
        claim_count=count,
        group=group,
        attributes=attributes,
        priority=priority,
        source=source or None,
        position=position,
    )


def claim_of(claim_id: str, record: bytes) -> Claim:
    """A claim out of its record."""
    ttl, grace, created, _ends, _positions = _decode(record)
    return Claim(id=claim_id, ttl=ttl, grace=grace, created_at=moment_of(created))


def claim_fields(claim: Claim) -> list[Any]:
    """A claim as a script takes it that did not make it."""
    return [claim.id, claim.ttl, claim.grace, micros(claim.created_at), micros(claim.expires_at)]


def packed(value: Any) -> bytes:
    """A list for a script."""
    return _encode(value)


def _or_false(text: str | None) -> str | bool:
    """Lists end at a nil in Lua, so that false stands for nothing."""
    return False if text is None else text
