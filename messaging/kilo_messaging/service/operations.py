"""All operations of the service, in one hand."""

from dataclasses import dataclass

from kilo_messaging.service.claims import ClaimOperations
from kilo_messaging.service.desk import Desk
from kilo_messaging.service.health import HealthOperations
from kilo_messaging.service.messages import MessageOperations
from kilo_messaging.service.push import PushHub
from kilo_messaging.service.sharing import GetKey, ShareOperations
from kilo_messaging.service.topics import TopicOperations


@dataclass(frozen=True)
class Operations:
    """What a transport may ask for."""

    desk: Desk
    topics: TopicOperations
    messages: MessageOperations
    claims: ClaimOperations
    health: HealthOperations
    sharing: ShareOperations


def make_operations(
    desk: Desk, hub: PushHub, get_key: GetKey, service_topics: frozenset[str] = frozenset()
) -> Operations:
    """The operations over one desk. For `service_topics` see `TopicOperations`."""
    topics = TopicOperations(desk, service_topics)
    messages = MessageOperations(desk, hub, hub.arrivals)
    claims = ClaimOperations(desk, hub.arrivals)
    health = HealthOperations(desk, topics, messages, claims)
    sharing = ShareOperations(desk, get_key)
    return Operations(desk, topics, messages, claims, health, sharing)
