"""What answers look like: with hrefs where the request came with a path, with ids elsewhere."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec import UNSET, Raw, UnsetType

from kilo_common.clock import iso8601
from kilo_messaging.domain.message import Message
from kilo_messaging.domain.signed_url import SignedUrl
from kilo_messaging.domain.topic import Topic
from kilo_messaging.storage.base import Stats


class Href(msgspec.Struct):
    """A link of a page."""

    rel: str
    href: str


class TopicView(msgspec.Struct, omit_defaults=True):
    """A topic in a list."""

    name: str
    href: str | UnsetType = UNSET
    metadata: Mapping[str, Any] | UnsetType = UNSET


class MessageView(msgspec.Struct):
    """A message in a list or a claim."""

    id: str
    ttl: int
    age: int
    body: Raw
    href: str | UnsetType = UNSET
    claim_id: str | UnsetType | None = UNSET
    claim_count: int | UnsetType = UNSET
    group: str | UnsetType = UNSET
    attributes: Raw | UnsetType = UNSET
    priority: int | UnsetType = UNSET


class EndView(msgspec.Struct):
    """The oldest or newest message in a topic's figures."""

    id: str
    age: int
    ttl: int
    body: Raw
    created: str
    claim_id: str | None
    claim_count: int
    href: str | UnsetType = UNSET


def encode(value: Any) -> bytes:
    """JSON."""
    return msgspec.json.encode(value)


def list_key(base: str, action: str) -> str:
    """What a list of topics is called: `queues` or `topics`, as the client called them."""
    return base.rpartition("/")[2] or f"{action.partition('_')[0]}s"


def topic_view(topic: Topic, base: str, *, detailed: bool) -> TopicView:
    """A topic in a list."""
    name = topic.key.name
    return TopicView(
        name=name,
        href=f"{base}/{name}" if base else UNSET,
        metadata=topic.metadata if detailed else UNSET,
    )


def message_view(message: Message, base: str, topic: str, now: datetime) -> MessageView:
    """A message in a list, by id, or in a claim."""
    holder = message.holder_at(now)
    view = _bare_view(message, now)
    if base:
        view.href = message_href(base, topic, message.id, holder)
    else:
        view.claim_id = holder
        view.claim_count = message.claim_count
    return view


def popped_view(message: Message, now: datetime) -> MessageView:
    """A message that is gone from its topic."""
    view = _bare_view(message, now)
    view.claim_id = None
    view.claim_count = message.claim_count
    return view


def _bare_view(message: Message, now: datetime) -> MessageView:
    """What every message shows; the rest only where the poster set it."""
    return MessageView(
        id=message.id,
        ttl=message.ttl,
        age=message.age(now),
        body=Raw(message.body),
        group=UNSET if message.group is None else message.group,
        attributes=UNSET if message.attributes is None else Raw(message.attributes),
        priority=message.priority or UNSET,
    )


def message_href(base: str, topic: str, message_id: str, claim_id: str | None) -> str:
    """Where a message is; with its claim, if it has one, so that who holds it can delete it."""
    href = f"{base}/{topic}/messages/{message_id}"
    return f"{href}?claim_id={claim_id}" if claim_id else href


def share_view(signed: SignedUrl, signature: str) -> dict[str, Any]:
    """A signed URL, as the headers of its use need it."""
    return {
        "paths": signed.paths,
        "methods": signed.methods,
        "project": signed.project_id,
        "expires": signed.expires,
        "signature": signature,
    }


def next_link(path: str, query: Mapping[str, Any]) -> list[Href]:
    """The link to the next page."""
    texts = {
        key: str(value).lower() if isinstance(value, bool) else value
        for key, value in query.items()
        if value is not None
    }
    return [Href("next", f"{path}?{urlencode(texts)}")]


def location_of_posted(base: str, topic: str, ids: Sequence[str], page: int) -> str | None:
    """Where the posted messages are; without their ids if they are more than one page."""
    if not base:
        return None
    path = f"{base}/{topic}/messages"
    return f"{path}?ids={','.join(ids)}" if len(ids) <= page else path


def stats_view(stats: Stats, base: str, topic: str, now: datetime) -> dict[str, Any]:
    """A topic's figures; `oldest` and `newest` only where there are messages."""
    figures: dict[str, Any] = {
        "claimed": stats.claimed,
        "free": stats.free,
        "total": stats.total,
    }
    for name, message in (("oldest", stats.oldest), ("newest", stats.newest)):
        if message is not None:
            figures[name] = _end_view(message, base, topic, now)
    return {"messages": figures}


def _end_view(message: Message, base: str, topic: str, now: datetime) -> EndView:
    holder = message.holder_at(now)
    return EndView(
        id=message.id,
        age=message.age(now),
        ttl=message.ttl,
        body=Raw(message.body),
        created=iso8601(message.created_at),
        claim_id=holder,
        claim_count=message.claim_count,
        href=message_href(base, topic, message.id, None) if base else UNSET,
    )


def message_views(
    messages: Iterable[Message], base: str, topic: str, now: datetime
) -> list[MessageView]:
    """Messages in a list."""
    return [message_view(message, base, topic, now) for message in messages]
