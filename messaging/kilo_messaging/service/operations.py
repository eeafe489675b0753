"""All operations of the service, in one hand."""

from dataclasses import dataclass

from kilo_messaging.service.claims import ClaimOperations
from kilo_messaging.service.desk import Desk
from kilo_messaging.service.health import HealthOperations
from kilo_messaging.service.messages import MessageOperations
from kilo_messaging.service.pools import Placing, PoolOperations
from kilo_messaging.service.push import PushHub
from kilo_messaging.service.sharing import GetKey, ShareOperations
from kilo_messaging.service.subscriber_rules import SubscriberRules
from kilo_messaging.service.subscriptions import Hooks, SubscriptionOperations
from kilo_messaging.service.topics import TopicOperations
from kilo_messaging.service.virtual_clock import ClockOperations
from kilo_messaging.service.wake_up import WakeUp


@dataclass(frozen=True)
class Operations:
    """What a transport may ask for."""

    desk: Desk
    topics: TopicOperations
    messages: MessageOperations
    claims: ClaimOperations
    health: HealthOperations
    sharing: ShareOperations
    subscriptions: SubscriptionOperations
    pools: PoolOperations
    clock: ClockOperations


def make_operations(
    desk: Desk,
    hub: PushHub,
    get_key: GetKey,
    rules: SubscriberRules,
    hooks: Hooks,
    *,
    placing: Placing,
    main_uri: str,
    service_topics: frozenset[str] = frozenset(),
    wake: WakeUp,
) -> Operations:
    """The operations over one desk. For `service_topics` see `TopicOperations`."""
    topics = TopicOperations(desk, service_topics)
    messages = MessageOperations(desk, hub, hub.arrivals, wake)
    claims = ClaimOperations(desk, hub.arrivals)
    return Operations(
        desk=desk,
        topics=topics,
        messages=messages,
        claims=claims,
        health=HealthOperations(desk, topics, messages, claims, placing),
        sharing=ShareOperations(desk, get_key),
        subscriptions=SubscriptionOperations(desk, rules, hooks),
        pools=PoolOperations(desk, placing, main_uri),
        clock=ClockOperations(desk, wake),
    )
