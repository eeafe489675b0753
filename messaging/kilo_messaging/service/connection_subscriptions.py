"""The subscriptions of one connection, and how they end with it."""

from kilo_common.context import RequestContext
from kilo_messaging.domain.connection_subscription import ConnectionSubscription
from kilo_messaging.errors import LimitExceeded
from kilo_messaging.service.desk import Desk, within
from kilo_messaging.service.push import Deliver, PushHub


class ConnectionSubscriptions:
    """What one connection is subscribed to. One connection calls one thing at a time."""

    def __init__(self, desk: Desk, hub: PushHub, deliver: Deliver, *, most: int) -> None:
        """`deliver` takes a frame for this connection and returns at once."""
        self._desk = desk
        self._hub = hub
        self._deliver = deliver
        self._most = most
        self._present: dict[str, ConnectionSubscription] = {}

    def create(
        self, context: RequestContext, topic_name: str, ttl: int | None = None
    ) -> ConnectionSubscription:
        """Subscribe this connection to a topic; a subscription that it has begins anew.

        Raises:
            LimitExceeded: the life is out of range, or the connection has too many.
        """
        desk = self._desk
        desk.permit(context, "subscription:create")
        key = desk.key(context, topic_name)
        if ttl is not None:
            within("ttl", ttl, desk.limits.min_ttl, desk.limits.max_ttl)
        present = next((each for each in self._live() if each.key == key), None)
        if present is None and len(self._present) >= self._most:
            raise LimitExceeded(
                f"A connection may have at most {self._most} subscriptions", name="subscriptions"
            )
        made = ConnectionSubscription(
            id=present.id if present else desk.new_id(), key=key, created_at=desk.now(), ttl=ttl
        )
        self._present[made.id] = made
        self._hub.subscribe(key, made.id, self._forward(made))
        return made

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
        self._hub.unsubscribe(subscription.key, subscription.id)

    def _forward(self, subscription: ConnectionSubscription) -> Deliver:
        def forward(frame: bytes) -> None:
            if subscription.is_live(self._desk.now()):
                self._deliver(frame)

        return forward
