"""What things are called in Redis.

A project and a topic's name, in percent-encoding, make the topic's tag. All keys of a topic carry
it as their hash tag, so that they lie on one node of a cluster and a script may use them together.
"""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote

from kilo_messaging.domain.topic import TopicKey

PARTS = (
    "topic",
    "bodies",
    "states",
    "ids",
    "ready",
    "claimed",
    "delayed",
    "urgent",
    "due",
    "expiry",
    "claims",
    "claims-expiry",
    "lanes",
    "lanes-due",
    "dedup",
    "dedup-expiry",
    "once",
    "leaving",
    "arrived",
)
"""The keys of a topic, in the order in which scripts get them (`lua/common.lua`)."""
DELIVERY_PARTS = (
    "subscriptions",
    "subscribers",
    "health",
    "subscriptions-expiry",
    "deliveries",
    "deliveries-of",
    "deliveries-due",
    "deliveries-expiry",
    "notices",
    "notice-uses",
    "delivery-lanes",
    "lane-fronts",
    "log",
    "log-of",
    "log-at",
)
"""Those of its subscriptions, which some scripts get after the others (`lua/deliveries.lua`)."""


@dataclass(frozen=True)
class Keys:
    """The names below one prefix."""

    prefix: str

    def of_topic(self, key: TopicKey) -> tuple[str, ...]:
        """All keys of a topic, in the order of `PARTS`."""
        return _of_topic(self.prefix, key)

    def with_deliveries(self, key: TopicKey) -> tuple[str, ...]:
        """The same and those of its subscriptions, in the order of `DELIVERY_PARTS`."""
        return _with_deliveries(self.prefix, key)

    def names(self, project_id: str) -> str:
        """A sorted set of the names of a project's topics."""
        return f"{self.prefix}{{{quote(project_id, safe='')}}}:names"

    @property
    def sweeps(self) -> str:
        """A sorted set of the tags of all topics, by when they are to be swept."""
        return f"{self.prefix}{{sweeps}}"

    @property
    def due(self) -> str:
        """The same of topics with deliveries, by when the next of them is due."""
        return f"{self.prefix}{{deliveries}}"

    @property
    def subscribed(self) -> str:
        """The same of topics with subscriptions, by when their deliveries are to be swept."""
        return f"{self.prefix}{{subscribed}}"

    @property
    def of_pools(self) -> tuple[str, ...]:
        """Pools, flavors, placements by tag, when tags were released, and the version of all."""
        parts = ("pools", "flavors", "placements", "released", "version")
        return tuple(f"{self.prefix}{{pools}}:{part}" for part in parts)

    @property
    def once(self) -> str:
        """The same of topics with keys of posts that are made once, by the age of the oldest."""
        return f"{self.prefix}{{once}}"


@lru_cache(maxsize=4096)
def _of_topic(prefix: str, key: TopicKey) -> tuple[str, ...]:
    return tuple(f"{prefix}{{{tag_of(key)}}}:{part}" for part in PARTS)


@lru_cache(maxsize=4096)
def _with_deliveries(prefix: str, key: TopicKey) -> tuple[str, ...]:
    own = (f"{prefix}{{{tag_of(key)}}}:{part}" for part in DELIVERY_PARTS)
    return (*_of_topic(prefix, key), *own)


def tag_of(key: TopicKey) -> str:
    """The topic's tag."""
    return f"{quote(key.project_id, safe='')}:{quote(key.name, safe='')}"


def topic_of_tag(tag: str) -> TopicKey:
    """The topic that a tag names."""
    project, _colon, name = tag.partition(":")
    return TopicKey(unquote(project), unquote(name))
