"""Operations on messages."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice

import msgspec

from kilo_common.context import RequestContext
from kilo_common.errors import KiloError
from kilo_messaging.domain.delivery import Notice
from kilo_messaging.domain.forwarding import forwarded
from kilo_messaging.domain.message import (
    MAX_PRIORITY,
    Message,
    new_message,
    ordered_id,
    ordered_ids,
)
from kilo_messaging.domain.topic import DELAY, POST_SIZE, PRIORITIES, TTL, Topic, TopicKey
from kilo_messaging.errors import ForwardRefused, LimitExceeded, MessageNotFound, PriorityRefused
from kilo_messaging.service.arrivals import Arrivals, Ending, never
from kilo_messaging.service.desk import Desk, within
from kilo_messaging.service.push import PushHub
from kilo_messaging.service.wake_up import WakeUp
from kilo_messaging.storage.base import Outcome, Page, Post, Posted


class Draft(msgspec.Struct, frozen=True):
    """A message that a client wants to post."""

    body: bytes
    """JSON text."""
    ttl: int | None = None
    delay: int | None = None
    group: str | None = None
    """What it is to stay in order with, on a topic that keeps groups in order."""
    attributes: bytes | None = None
    """A JSON object of texts, kept with the message."""
    dedup_id: str | None = None
    """Not posted again under the same id within the window."""
    priority: int = 0
    """From 0 to 9, on a topic with priorities: a higher one is handed out first."""


class Order(msgspec.Struct, frozen=True):
    """One request to post."""

    context: RequestContext
    topic_name: str
    drafts: Sequence[Draft]
    client_id: str
    size: int
    """Of the whole request, in bytes."""
    once: str | None = None
    """With a key, nothing is posted if it was used in the last while."""


class MessageOperations:
    """What a client may do with messages."""

    def __init__(self, desk: Desk, hub: PushHub, arrivals: Arrivals, wake: WakeUp) -> None:
        self._desk = desk
        self._hub = hub
        self._arrivals = arrivals
        self._wake = wake

    def post(
        self,
        context: RequestContext,
        topic_name: str,
        drafts: Sequence[Draft],
        *,
        client_id: str,
        size: int,
        once: str | None = None,
    ) -> list[str]:
        """Post messages; their ids, in order; a repeated one's is that of the message it repeats.

        `size` is that of the whole request in bytes.

        With `once`, nothing is posted if that key was used in the last while; then no ids.

        Raises:
            LimitExceeded: the request is too large, or a life, delay or priority out of range.
            PriorityRefused: the topic knows no priorities.
        """
        order = Order(context, topic_name, drafts, client_id, size, once)
        (outcome,) = self.post_all([order])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def post_all(self, orders: Sequence[Order]) -> list[list[str] | Exception]:
        """Do what `post` does for each of several requests, in their order; one outcome for each.

        They share what a commit costs. One that is refused costs the others nothing.
        """
        desk = self._desk
        now = desk.now()
        ids = iter(ordered_ids(now, desk.new_id, sum(len(order.drafts) for order in orders)))
        plans: list[Post | KiloError] = []
        for order in orders:
            try:
                plans.append(self._plan(order, now, list(islice(ids, len(order.drafts)))))
            except KiloError as refused:
                plans.append(refused)
        posts = [each for each in plans if isinstance(each, Post)]
        outcomes = desk.stores.messages.post_all(posts)
        self._tell_of(posts, outcomes)
        results = iter(outcomes)
        return [each if isinstance(each, KiloError) else _ids(next(results)) for each in plans]

    def _plan(self, order: Order, now: datetime, ids: Sequence[str]) -> Post:
        desk = self._desk
        desk.permit(order.context, "messages:create")
        key = desk.key(order.context, order.topic_name)
        if not order.drafts:
            raise LimitExceeded("Nothing to post: messages is empty", name="messages")

        def prepare(topic: Topic) -> list[Message]:
            self._check_size(topic, order.size)
            return [
                self._message(topic, draft, message_id, order.client_id, now)
                for draft, message_id in zip(order.drafts, ids, strict=True)
            ]

        window = timedelta(seconds=desk.limits.deduplication_window)
        return Post(key, prepare, now, order.once, window)

    def _tell_of(self, posts: Sequence[Post], outcomes: Sequence[Outcome]) -> None:
        """Tell of many posts at once, topic by topic."""
        added: dict[TopicKey, list[Message]] = {}
        recorded = False
        for post, outcome in zip(posts, outcomes, strict=True):
            if isinstance(outcome, Posted):
                added.setdefault(post.key, []).extend(outcome.added)
                recorded = recorded or outcome.recorded
        for key, messages in added.items():
            self._hub.announce(key, messages)
        if recorded:
            self._wake.ring()

    def forward(self, source: TopicKey, target: TopicKey, notice: Notice, *, once: str) -> None:
        """Post what was posted to `source` to `target` as well; once for each key.

        Raises:
            ForwardRefused: `target` takes nothing from there, or had the message already.
        """
        desk = self._desk
        now = desk.now()
        attributes = forwarded(notice, source, target)

        def prepare(topic: Topic) -> list[Message]:
            if not topic.accepts_from(source.project_id):
                raise ForwardRefused(f"Topic {target.name} accepts nothing from this project")
            made = new_message(
                message_id=ordered_id(now, desk.new_id),
                body=notice.body,
                ttl=notice.ttl,
                delay=0,
                client_id="",
                now=now,
                group=notice.group,
                attributes=attributes,
            )
            return [made]

        posted = desk.stores.messages.post(target, prepare, now, once=once)
        self._tell_of([Post(target, prepare, now)], [posted])

    def page(
        self,
        context: RequestContext,
        topic_name: str,
        *,
        client_id: str,
        limit: int | None = None,
        after: int = 0,
        echo: bool = False,
        include_claimed: bool = False,
        include_delayed: bool = False,
        wait: int = 0,
        ending: Ending = never,
    ) -> list[Message]:
        """A page of messages, oldest first; the caller's own only with `echo`.

        Where there are none, it waits up to `wait` seconds for some.
        """
        desk = self._desk
        desk.permit(context, "messages:get_all")
        page = Page(
            limit=desk.page_size(limit),
            after=after,
            claimed=include_claimed,
            delayed=include_delayed,
            not_from=None if echo else client_id,
        )
        key = desk.key(context, topic_name)

        def look() -> list[Message]:
            return desk.stores.messages.page(key, page, desk.now())

        return self._arrivals.first(key, look, desk.wait_time(wait), ending) or []

    def get(self, context: RequestContext, topic_name: str, message_id: str) -> Message:
        """One message.

        Raises:
            MessageNotFound: there is none, or its life is over.
        """
        return self._find(context, topic_name, [message_id])[0]

    def get_many(
        self, context: RequestContext, topic_name: str, ids: Sequence[str]
    ) -> list[Message]:
        """The messages with these ids that there are.

        Raises:
            MessageNotFound: there is none of them.
            LimitExceeded: too many ids.
        """
        within("the number of ids", len(ids), 1, self._desk.limits.page)
        return self._find(context, topic_name, ids)

    def delete(
        self, context: RequestContext, topic_name: str, message_id: str, claim_id: str | None
    ) -> None:
        """Remove a message; a claimed one only with its claim. A missing one is no error.

        Raises:
            ClaimInvalid: the claim has ended, or does not hold the message.
            MessageClaimed: another claim holds it.
        """
        desk = self._desk
        desk.permit(context, "messages:delete")
        key = desk.key(context, topic_name)
        desk.stores.messages.delete(key, message_id, claim_id, desk.now())

    def delete_many(self, context: RequestContext, topic_name: str, ids: Sequence[str]) -> None:
        """Remove the messages with these ids, claimed or not.

        Raises:
            LimitExceeded: too many ids.
        """
        desk = self._desk
        desk.permit(context, "messages:delete_all")
        within("the number of ids", len(ids), 1, desk.limits.page)
        desk.stores.messages.delete_many(desk.key(context, topic_name), ids, desk.now())

    def pop(self, context: RequestContext, topic_name: str, limit: int) -> list[Message]:
        """Remove the oldest messages that nobody has claimed, and return them."""
        desk = self._desk
        desk.permit(context, "messages:delete_all")
        within("pop", limit, 1, desk.limits.page)
        return desk.stores.messages.pop(desk.key(context, topic_name), limit, desk.now())

    def redrive(self, context: RequestContext, topic_name: str) -> int:
        """Send a topic's dead letters back to the topics they came from; how many there were."""
        desk = self._desk
        desk.permit(context, "queues:redrive")
        moved = desk.stores.messages.redrive(desk.key(context, topic_name), desk.now())
        for key in moved:
            self._arrivals.ring(key)
        return sum(moved.values())

    def _find(self, context: RequestContext, topic_name: str, ids: Sequence[str]) -> list[Message]:
        desk = self._desk
        desk.permit(context, "messages:get")
        found = desk.stores.messages.get(desk.key(context, topic_name), ids, desk.now())
        if not found:
            raise MessageNotFound("There is no such message", ids=list(ids))
        return found

    def _check_size(self, topic: Topic, size: int) -> None:
        allowed = min(self._desk.limits.post, topic.metadata.get(POST_SIZE, self._desk.limits.post))
        if size > allowed:
            raise LimitExceeded(
                f"A request that posts to this topic may have at most {allowed} bytes",
                name="size",
                value=size,
                high=allowed,
            )

    def _message(
        self, topic: Topic, draft: Draft, message_id: str, client_id: str, now: datetime
    ) -> Message:
        limits = self._desk.limits
        ttl = draft.ttl
        if ttl is None:
            ttl = topic.metadata.get(TTL, limits.default_ttl)
        else:
            within("ttl", ttl, limits.min_ttl, limits.max_ttl)
        delay = draft.delay
        if delay is None:
            delay = topic.metadata.get(DELAY, 0)
        else:
            within("delay", delay, 0, limits.max_delay)
        return new_message(
            message_id=message_id,
            body=draft.body,
            ttl=ttl,
            delay=delay,
            client_id=client_id,
            now=now,
            group=draft.group,
            attributes=draft.attributes,
            dedup_id=draft.dedup_id,
            priority=_priority(topic, draft),
        )


def _ids(outcome: Outcome) -> list[str] | Exception:
    if isinstance(outcome, Exception):
        return outcome
    return [] if outcome is None else outcome.ids


def _priority(topic: Topic, draft: Draft) -> int:
    if draft.priority and not topic.has_priorities:
        raise PriorityRefused(
            f"Topic {topic.key.name} knows no priorities: set {PRIORITIES} to true in its metadata",
            priority=draft.priority,
        )
    return within("priority", draft.priority, 0, MAX_PRIORITY)
