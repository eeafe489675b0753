"""The subscriptions of one connection, and how they end with it."""

from collections.abc import Callable
from dataclasses import dataclass

from kilo_common.context import RequestContext
from kilo_messaging.domain.connection_subscription import ConnectionSubscription
from kilo_messaging.domain.cursor import Cursor, parse_cursor
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.errors import LimitExceeded
from kilo_messaging.service.desk import Desk, within
from kilo_messaging.service.following import Follower, Following, Offer
from kilo_messaging.service.push import Deliver, PushHub

START, END = "start", "end"
"""Places for who has no cursor: before the oldest message, and behind the newest."""


@dataclass(frozen=True)
class PushLine:
    """The way to one client. Neither function waits."""

    deliver: Deliver
    """Takes a frame; where there is no room for it the connection is in trouble."""
    offer: Callable[[bytes], bool]
    """Takes a frame; where there is no room, it answers False and lets know when there is."""


def place_of(
    desk: Desk, following: Following, context: RequestContext, key: TopicKey, start: str
) -> Cursor:
    """The place in a topic from which a client wants to follow it.

    Raises:
        CursorInvalid: `start` is neither a cursor nor `start` or `end`.
        PolicyForbids: the client may not read the topic's messages.
    """
    desk.permit(context, "messages:get_all")
    if start in (START, END):
        return following.place(key, at_end=start == END)
    return parse_cursor(start)


class ConnectionSubscriptions:
    """What one connection is subscribed to. One connection calls one thing at a time."""

    def __init__(
        self, desk: Desk, hub: PushHub, following: Following, line: PushLine, *, most: int
    ) -> None:
        self._desk = desk
        self._hub = hub
        self._following = following
        self._line = line
        self._most = most
        self._present: dict[str, ConnectionSubscription] = {}
        self._followers: dict[str, Follower] = {}
        self._new: list[Follower] = []

    def create(
        self,
        context: RequestContext,
        topic_name: str,
        ttl: int | None = None,
        start: str | None = None,
    ) -> ConnectionSubscription:
        """Subscribe this connection to a topic; a subscription that it has begins anew.

        With `start` (a cursor, or `start`, or `end`) it follows the topic: it gets what is kept
        there behind that place, in order, and then what comes. Without, it gets what is posted
        from now on, as a courtesy.

        Raises:
            LimitExceeded: the life is out of range, or the connection has too many.
            CursorInvalid: `start` is none of these.
        """
        desk = self._desk
        desk.permit(context, "subscription:create")
        key = desk.key(context, topic_name)
        if ttl is not None:
            within("ttl", ttl, desk.limits.min_ttl, desk.limits.max_ttl)
        cursor = None if start is None else place_of(desk, self._following, context, key, start)
        present = next((each for each in self._live() if each.key == key), None)
        if present is None and len(self._present) >= self._most:
            raise LimitExceeded(
                f"A connection may have at most {self._most} subscriptions", name="subscriptions"
            )
        made = ConnectionSubscription(
            id=present.id if present else desk.new_id(), key=key, created_at=desk.now(), ttl=ttl
        )
        if cursor is not None:
            self._end_of_pushes(made)
            follower = self._following.follow(key, cursor, self._offer_to(made.id))
            self._followers[made.id] = follower
            self._new.append(follower)
        elif made.id not in self._followers:
            self._hub.subscribe(key, made.id, self._forward(made))
        self._present[made.id] = made
        return made

    def has(self, subscription_id: str) -> bool:
        """Whether the subscription has not ended."""
        present = self._present.get(subscription_id)
        return present is not None and present.is_live(self._desk.now())

    def cursor(self, subscription_id: str) -> Cursor | None:
        """How far a subscription is that follows its topic; None for others."""
        follower = self._followers.get(subscription_id)
        return None if follower is None else follower.cursor

    def begin(self) -> None:
        """The client knows of its new subscriptions: what they follow may come."""
        while self._new:
            self._following.resume(self._new.pop())

    def resume(self) -> None:
        """The client has read most of what waited for it."""
        for follower in tuple(self._followers.values()):
            if follower.is_paused:
                self._following.resume(follower)

    def page(self, context: RequestContext, topic_name: str) -> list[ConnectionSubscription]:
        """This connection's subscriptions to a topic."""
        self._desk.permit(context, "subscription:get_all")
        key = self._desk.key(context, topic_name)
        return [each for each in self._live() if each.key == key]

    def find(
        self, context: RequestContext, topic_name: str, subscription_id: str
    ) -> ConnectionSubscription | None:
        """The connection's subscription of that id, or None."""
        self._desk.permit(context, "subscription:get")
        key = self._desk.key(context, topic_name)
        return next(
            (each for each in self._live() if each.key == key and each.id == subscription_id), None
        )

    def delete(self, context: RequestContext, topic_name: str, subscription_id: str) -> None:
        """End a subscription; one that is not this connection's is no error."""
        self._desk.permit(context, "subscription:delete")
        key = self._desk.key(context, topic_name)
        present = self._present.get(subscription_id)
        if present is not None and present.key == key:
            self._end(present)

    def close(self) -> None:
        """End all of them: the connection is gone."""
        for each in tuple(self._present.values()):
            self._end(each)

    def _live(self) -> list[ConnectionSubscription]:
        """Those that have not ended; the others are let go of."""
        now = self._desk.now()
        for each in tuple(self._present.values()):
            if not each.is_live(now):
                self._end(each)
        return list(self._present.values())

    def _end(self, subscription: ConnectionSubscription) -> None:
        self._present.pop(subscription.id, None)
        self._end_of_pushes(subscription)

    def _end_of_pushes(self, subscription: ConnectionSubscription) -> None:
        self._hub.unsubscribe(subscription.key, subscription.id)
        follower = self._followers.pop(subscription.id, None)
        if follower is not None:
            self._following.unfollow(follower)

    def _offer_to(self, subscription_id: str) -> Offer:
        def offer(frame: bytes, _cursor: Cursor) -> bool:
            # Where it has ended it is refused, and nobody resumes it.
            return self.has(subscription_id) and self._line.offer(frame)

        return offer

    def _forward(self, subscription: ConnectionSubscription) -> Deliver:
        def forward(frame: bytes) -> None:
            if subscription.is_live(self._desk.now()):
                self._line.deliver(frame)

        return forward
