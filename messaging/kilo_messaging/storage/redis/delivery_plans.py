"""Which topics have deliveries that are due, and when: two lists over all topics.

They may be on another node than the topic, so that they are written after it. Whoever dies between
leaves the topic to the sweep, which looks at each topic that has subscriptions every few minutes.
"""

import logging
from datetime import datetime, timedelta

from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.storage.redis.keys import Keys, tag_of, topic_of_tag
from kilo_messaging.storage.redis.link import RedisLink, StoreUnavailable
from kilo_messaging.storage.redis.records import micros, moment_of

log = logging.getLogger(__name__)
IDLE = timedelta(minutes=5)
"""So often the sweep looks at a topic that has subscriptions."""
PAGE = 100


class DeliveryPlans:
    """When to look at which topic."""

    def __init__(self, link: RedisLink, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def plan(self, key: TopicKey, moment: bytes) -> None:
        """Something of the topic is due by then; an empty moment is nothing.

        What it belongs to is done already, so that a failure here is nobody's error: the sweep
        finds it.
        """
        if not moment:
            return
        try:
            self._link.run("plan", [self._keys.due], "LT", moment, tag_of(key))
        except StoreUnavailable:
            log.warning("the deliveries of topic %s are not planned", key.name)

    def watch(self, key: TopicKey, now: datetime) -> None:
        """The topic has subscriptions: let the sweep look at it."""
        self._link.run("plan", [self._keys.subscribed], "LT", micros(now), tag_of(key))

    def due(self, now: datetime, *, after: int) -> list[TopicKey]:
        """Topics with something due, those that have waited longest first; `after` so many."""
        found = self._link.command(
            "ZRANGEBYSCORE", self._keys.due, "-inf", micros(now), "LIMIT", after, PAGE
        )
        return [topic_of_tag(tag.decode()) for tag in found]

    def next_due(self, now: datetime) -> datetime | None:
        """When the next one is due that is not due yet."""
        found = self._link.command(
            *("ZRANGEBYSCORE", self._keys.due, f"({micros(now)}", "+inf"),
            *("WITHSCORES", "LIMIT", 0, 1),
        )
        return moment_of(int(float(found[1]))) if found else None

    def put_off(self, key: TopicKey, until: datetime) -> None:
        """Before looking at what is due: what a post plans meanwhile comes after, and counts."""
        self._link.run("plan", [self._keys.due], "XX", micros(until), tag_of(key))

    def replan(self, key: TopicKey, put_off: datetime, following: bytes) -> None:
        """After having looked: the next moment, or nothing."""
        self._link.run("replan", [self._keys.due], tag_of(key), micros(put_off), following)

    def to_sweep(self, now: datetime) -> list[TopicKey]:
        """Topics that the sweep is to look at."""
        found = self._link.command(
            "ZRANGEBYSCORE", self._keys.subscribed, "-inf", micros(now), "LIMIT", 0, PAGE
        )
        return [topic_of_tag(tag.decode()) for tag in found]

    def swept(self, key: TopicKey, now: datetime, *, stays: bool) -> None:
        """The sweep has looked at all of the topic."""
        tag = tag_of(key)
        if stays:
            self._link.run("plan", [self._keys.subscribed], "XX", micros(now + IDLE), tag)
        else:
            self._link.command("ZREM", self._keys.subscribed, tag)
